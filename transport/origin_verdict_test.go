package transport

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func mustOrigins(t testing.TB, allowed, plain []string) *origins {
	t.Helper()
	o, err := newOrigins(allowed, plain)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestVerdict(t *testing.T) {
	const a, b, c, d = "https://a.example/1", "https://b.example/2", "https://a.example:443/3", "http://a.example/4"
	listed := mustOrigins(t, []string{"https://a.example"}, nil)
	both := mustOrigins(t, []string{"https://a.example", "https://b.example"}, nil)
	open := mustOrigins(t, nil, nil)
	plain := mustOrigins(t, nil, []string{"http://a.example"})
	tests := []struct {
		name string
		o    *origins
		urls []string
		host string
		want verdict
		err  error
	}{
		{"listed", listed, []string{a}, "", attach, nil},
		{"listed, spelled otherwise", listed, []string{"https://A.example.:443"}, "", attach, nil},
		{"not listed", listed, []string{b}, "", bare, nil},
		{"listed, over http", listed, []string{d}, "", bare, nil},
		{"to a listed one by way of another", listed, []string{b, a}, "", attach, nil},
		{"the Host of another", listed, []string{a}, "b.example", bare, nil},
		{"the Host of another that is listed", both, []string{a}, "b.example", attach, nil},
		{"the Host of another port", listed, []string{a}, "a.example:8443", bare, nil},
		{"the same Host, spelled otherwise", listed, []string{a}, "A.EXAMPLE:443", attach, nil},
		{"a Host that is none", listed, []string{a}, "a.example/b", bare, nil},

		{"anywhere", open, []string{a}, "", attach, nil},
		{"a redirect on the origin", open, []string{a, c, a}, "", attach, nil},
		{"a redirect to another", open, []string{a, b}, "", bare, nil},
		{"a redirect to a subdomain", open, []string{a, "https://x.a.example"}, "", bare, nil},
		{"a redirect to another port", open, []string{a, "https://a.example:8443"}, "", bare, nil},
		{"a redirect to http", open, []string{a, d}, "", bare, nil},
		{"on the other origin", open, []string{a, b, b}, "", bare, nil},
		{"and back", open, []string{a, b, b, a}, "", bare, nil},
		{"and on", open, []string{a, b, b, a, a}, "", bare, nil},
		{"the Host of another, no list", open, []string{a}, "b.example", bare, nil},
		{"the same Host, no list", open, []string{a}, "a.example:443", attach, nil},
		{"many hops", open, slices.Repeat([]string{a}, maxHops+1), "", attach, nil},
		{"too many hops", open, slices.Repeat([]string{a}, maxHops+2), "", bare, nil},

		{"http", open, []string{d}, "", bare, errPlainHTTP},
		{"http to this machine", open, []string{"http://127.0.0.1:8080"}, "", attach, nil},
		{"http to this machine by its name", open, []string{"http://localhost:8080"}, "", bare, errPlainHTTP},
		{"http where it is allowed", plain, []string{d}, "", attach, nil},
		{"http where it is not", plain, []string{"http://a.example:8080"}, "", bare, errPlainHTTP},
		{"a zone", open, []string{"http://[fe80::1%25eth0]"}, "", bare, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := chain(t, test.urls...)
			if test.host != "" {
				req.Host = test.host
			}
			got, err := test.o.verdict(req)
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %d, %v; want %d, %v", got, err, test.want, test.err)
			}
			if err != nil && !strings.Contains(err.Error(), "DangerouslyAllowHTTP") {
				t.Errorf("the error does not say what to do: %v", err)
			}
		})
	}
}

// What a middleware may lose must not open a way.
func TestVerdict_broken_chains(t *testing.T) {
	o := mustOrigins(t, nil, nil)
	visited := chain(t, "https://a.example")
	visited.Host = "b.example"
	for name, resp := range map[string]*http.Response{
		"no request before": {},
		"no URL before":     {Request: &http.Request{}},
		"another Host":      {Request: visited},
	} {
		req := chain(t, "https://a.example")
		req.Response = resp
		if got, err := o.verdict(req); got != bare || err != nil {
			t.Errorf("%s: got %d, %v; want %d", name, got, err, bare)
		}
	}
	if got, err := o.verdict(&http.Request{}); got != bare || err != nil {
		t.Errorf("no URL: got %d, %v; want %d", got, err, bare)
	}
}

func TestCheckURL(t *testing.T) {
	for text, bad := range map[string]bool{
		"https://a.example":          false,
		"https://a.example/@b?c@d":   false,
		"https://user@a.example":     true,
		"https://user:pw@a.example":  true,
		"https://@a.example":         true,
		"https://:@a.example":        true,
		"http://a%40b:@127.0.0.1":    true,
		"https://a.example@evil.com": true,
	} {
		err := checkURL(chain(t, text))
		if (err != nil) != bad {
			t.Errorf("%s: got %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "user:") {
			t.Errorf("the error shows the URL: %v", err)
		}
	}
	byHand := &http.Request{URL: &url.URL{Scheme: "https", Host: "user@a.example"}}
	if checkURL(byHand) == nil {
		t.Error("a user in the host: got no error")
	}
	if err := checkURL(&http.Request{}); err != nil {
		t.Errorf("no URL: got %v", err)
	}
}

var verdictCases = []struct {
	name    string
	allowed []string
	urls    []string
}{
	{"no list", nil, []string{"https://api.example.com/v1/me"}},
	{"list", []string{"https://auth.example.com", "https://api.example.com"}, []string{"https://api.example.com/v1/me"}},
	{"loopback", nil, []string{"http://[::1]:8080/v1/me"}},
	{"redirects", nil, slices.Repeat([]string{"https://api.example.com/v1/me"}, 5)},
}

func TestVerdict_allocates_nothing(t *testing.T) {
	for _, test := range verdictCases {
		o, req := mustOrigins(t, test.allowed, nil), chain(t, test.urls...)
		allocs := testing.AllocsPerRun(100, func() {
			if checkURL(req) != nil {
				t.Error("refused")
			}
			if v, _ := o.verdict(req); v != attach {
				t.Error("bare")
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", test.name, allocs)
		}
	}
}

func BenchmarkVerdict(b *testing.B) {
	for _, test := range verdictCases {
		o, req := mustOrigins(b, test.allowed, nil), chain(b, test.urls...)
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = checkURL(req)
				_, _ = o.verdict(req)
			}
		})
	}
}

// FuzzOrigin compares with what net/http does: a URL that gets a token must lead
// it to the address of a listed origin, with TLS where that has it, and with a
// Host header that names a listed origin too.
func FuzzOrigin(f *testing.F) {
	list := []string{"https://api.example.com", "http://127.0.0.1:8080", "https://[2001:db8::1]:8443", "https://k.example", "https://bücher.example"}
	for _, test := range originTests {
		f.Add(test.url, "")
	}
	for _, text := range Lookalikes {
		f.Add(text, "")
		f.Add("https://api.example.com", text)
	}
	o, open := mustOrigins(f, list, nil), mustOrigins(f, nil, nil)
	addrs := []string{"api.example.com:443", "127.0.0.1:8080", "[2001:db8::1]:8443", "k.example:443", "xn--bcher-kva.example:443"}
	f.Fuzz(func(t *testing.T, text, host string) {
		if at, err := parseOrigin(text); err == nil {
			again, err := parseOrigin(at.String())
			if err != nil || again != at {
				t.Errorf("%q is %s, which is %s, %v", text, at, again, err)
			}
		}
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		req := &http.Request{Method: "GET", URL: u, Host: host, Header: http.Header{}}
		checkObvious(t, o, req)
		checkObvious(t, open, req)
		if v, err := o.verdict(req); v != attach || err != nil || checkURL(req) != nil {
			return
		}
		addr, secure := dialed(req)
		if addr == "" {
			return // net/http refused it
		}
		i := slices.Index(addrs, canonicalAddr(t, addr))
		if i < 0 || secure != strings.HasPrefix(list[i], "https") {
			t.Errorf("%q gets a token and leads to %s, TLS %t", text, addr, secure)
		}
		if host != "" && !slices.Contains(addrs, canonicalAddr(t, withPort(host, secure))) {
			t.Errorf("%q gets a token with the Host %q", text, host)
		}
	})
}

// checkObvious compares the glance at a request with the closer look.
func checkObvious(t *testing.T, o *origins, req *http.Request) {
	if !o.obvious(req) {
		return
	}
	if at, host, ok := destination(req); !ok || !o.mayGo(req, at, host) || !at.secure() {
		t.Errorf("%s, Host %q: a token at a glance, and none when looked at closely", req.URL, req.Host)
	}
}

// canonicalAddr is addr, "host:port", in one spelling, as a resolver takes it.
func canonicalAddr(t *testing.T, addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatalf("%q: %v", addr, err)
	}
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String()
	}
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(host, ".")), strings.TrimLeft(port, "0"))
}

func withPort(host string, secure bool) string {
	if _, port, err := net.SplitHostPort(host); err == nil && port != "" {
		return host
	}
	host = strings.TrimSuffix(host, ":")
	if secure {
		return host + ":443"
	}
	return host + ":80"
}

// Lookalikes look like https://api.example.com, or like another origin of
// FuzzOrigin, and most of them are not. The tests of the rules use them too.
var Lookalikes = []string{
	"https://evil-api.example.com", "https://api.example.com.evil", "https://api.example.comevil",
	"https://example.com", "https://x.api.example.com", "https://api.example.co", "https://apiXexample.com",
	"https://api.example.com:8443", "https://api.example.com:44", "http://api.example.com", "http://api.example.com:443",
	"https://api.example.com@evil.example", "https://evil.example/api.example.com", "https://evil.example?https://api.example.com",
	"https://evil.example#api.example.com", "https://evil.example/@api.example.com", "https://api.example.com%2eevil.example",
	"https://api.example.com\\.evil.example", "https://api\u3002example\u3002com", "https://\uff41pi.example.com",
	"https://\u0430pi.example.com", "https://xn--pi-7kc.example.com", "https://xn--api-.example.com",
	"https://api.example.com..", "https://.api.example.com",
	"https://[api.example.com]", "https://[::ffff:127.0.0.1]:8443", "https://[2001:db8::1%251]:8443", "http://2130706433:8080",
	"http://127.1:8080", "http://127.0.0.1.:8080", "https://\u212a.example", "https://b\u00fccher.example", "https://bu\u0308cher.example",
	"https://B\u00dcCHER.example", "https:api.example.com", "https:/api.example.com", "https:///api.example.com", "//api.example.com",
}
