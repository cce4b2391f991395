package transport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

var originTests = []struct{ url, want string }{ // "" is no origin
	{"https://api.example.com", "https://api.example.com:443"},
	{"https://api.example.com/a/b?c#d", "https://api.example.com:443"},
	{"https://api.example.com:443", "https://api.example.com:443"},
	{"https://api.example.com:0443", "https://api.example.com:443"},
	{"https://api.example.com:", "https://api.example.com:443"},
	{"https://api.example.com.", "https://api.example.com:443"},
	{"HTTPS://API.Example.COM", "https://api.example.com:443"},
	{"https://api.example.com:8443", "https://api.example.com:8443"},
	{"http://api.example.com", "http://api.example.com:80"},
	{"http://127.0.0.1:8080", "http://127.0.0.1:8080"},
	{"https://[::1]", "https://[::1]:443"},
	{"https://[0:0::0001]:8443", "https://[::1]:8443"},
	{"https://[2001:DB8::A]", "https://[2001:db8::a]:443"},
	{"https://xn--bcher-kva.example", "https://xn--bcher-kva.example:443"},
	{"https://bücher.example", "https://bücher.example:443"},
	{"https://BÜCHER.example", "https://bÜcher.example:443"},
	{"https://\u212a.example", "https://\u212a.example:443"}, // the sign for kelvin

	{"", ""},
	{"/path", ""},
	{"//api.example.com", ""},
	{"https:", ""},
	{"https:///path", ""},
	{"https:api.example.com", ""},
	{"https://:443", ""},
	{"https://.", ""},
	{"https://api.example.com:0", ""},
	{"https://api.example.com:65536", ""},
	{"ftp://api.example.com", ""},
	{"wss://api.example.com", ""},
	{"https://[fe80::1%25eth0]", ""},
	{"http://127.0.0.1.", ""},
}

func TestOriginOf(t *testing.T) {
	for _, test := range originTests {
		u, err := url.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		checkOrigin(t, u, test.want)
	}
}

// URLs that no parser makes, but programs do.
func TestOriginOf_made_by_hand(t *testing.T) {
	const host = "api.example.com"
	for _, test := range []struct {
		u    *url.URL
		want string
	}{
		{&url.URL{Scheme: "https", Host: host, Opaque: "//" + host + "/a%2fb"}, "https://api.example.com:443"},
		{&url.URL{Scheme: "https", Host: host, Opaque: "//" + host}, "https://api.example.com:443"},
		{&url.URL{Scheme: "https", Host: host, Opaque: "//" + host + "?a"}, "https://api.example.com:443"},
		{&url.URL{Scheme: "https", Host: host, Opaque: "/a%2fb"}, "https://api.example.com:443"},
		{&url.URL{Scheme: "https", Host: host, Opaque: "//evil.example/a"}, ""},
		{&url.URL{Scheme: "https", Host: host, Opaque: "//" + host + ".evil.example/a"}, ""},
		{&url.URL{Scheme: "https", Host: host, Opaque: "//" + host + "@evil.example/a"}, ""},
		{&url.URL{Scheme: "https", Host: host, Opaque: "https://evil.example/a"}, ""},
		{&url.URL{Scheme: "https", Host: host, Opaque: "evil.example:443"}, ""},
		{&url.URL{Scheme: "https", Host: "a:b:c"}, ""},
		{&url.URL{Scheme: "https", Host: "::1"}, ""},
		{&url.URL{Scheme: "https", Host: "[" + host + "]"}, ""},
		{&url.URL{Scheme: "https", Host: "[127.0.0.1]"}, ""},
		{&url.URL{Scheme: "https", Host: host + ":+443"}, ""},
		{nil, ""},
	} {
		checkOrigin(t, test.u, test.want)
	}
}

func checkOrigin(t *testing.T, u *url.URL, want string) {
	t.Helper()
	o, ok := originOf(u)
	got := ""
	if ok {
		got = o.String()
	}
	if got != want {
		t.Errorf("%v: got %q, want %q", u, got, want)
	}
}

func TestOrigin_secure(t *testing.T) {
	for text, want := range map[string]bool{
		"https://api.example.com":         true,
		"https://10.0.0.1":                true,
		"http://127.0.0.1":                true,
		"http://127.255.3.4:8080":         true,
		"http://[::1]:8080":               true,
		"http://[0:0:0:0:0:0:0:1]":        true,
		"http://localhost":                false,
		"http://localhost.localdomain":    false,
		"http://127.0.0.1.example.com":    false,
		"http://127.1":                    false,
		"http://2130706433":               false,
		"http://0x7f.0.0.1":               false,
		"http://127.0.0.01":               false,
		"http://0.0.0.0":                  false,
		"http://[::]":                     false,
		"http://[::ffff:127.0.0.1]":       false,
		"http://128.0.0.1":                false,
		"http://10.0.0.1":                 false,
		"http://api.example.com":          false,
		"http://xn--localhost-.example":   false,
		"http://\uff11\uff12\uff17.0.0.1": false, // full-width digits
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		o, ok := originOf(u)
		if !ok || o.secure() != want {
			t.Errorf("%s: got %t, want %t", text, o.secure(), want)
		}
	}
}

func TestParseOrigin(t *testing.T) {
	const example = "https://api.example.com"
	tests := []struct{ text, flaw, instead string }{ // no flaw: instead is the origin
		{"https://api.example.com", "", "https://api.example.com:443"},
		{"https://api.example.com/", "", "https://api.example.com:443"},
		{"HTTPS://API.example.com.:443", "", "https://api.example.com:443"},
		{"http://[::1]:8080", "", "http://[::1]:8080"},
		{"https://my_host-1", "", "https://my_host-1:443"},
		{"https://bücher.example", "", "https://bücher.example:443"},

		{"", "begin with https", example},
		{"api.internal", "begin with https", "https://api.internal"},
		{"api.internal:8443", "begin with https", "https://api.internal:8443"},
		{"localhost:8080", "begin with https", "https://localhost:8080"},
		{"[::1]:8080", "not a URL", "https://[::1]:8080"},
		{"//api.internal", "begin with https", example},
		{" https://api.internal", "not a URL", "https://api.internal"},
		{"ftp://api.internal", "begin with https", example},
		{"https://", "no host", example},
		{"https:api.internal", "no host", example},
		{"https://api.internal/v1", "a path", "https://api.internal"},
		{"https://api.internal:8443/v1/", "a path", "https://api.internal:8443"},
		{"https://api.internal//", "a path", "https://api.internal"},
		{"https://api.internal?a=b", "a query", "https://api.internal"},
		{"https://api.internal?", "a query", "https://api.internal"},
		{"https://api.internal#", "fragment", "https://api.internal"},
		{"https://*.example.com", "a wildcard", example},
		{"*", "wildcard", example},
		{"https://api.internal:*", "not a URL", example},
		{"https://api.internal:0", "its port", example},
		{"https://api.internal:65536", "its port", example},
		{"https://.internal", "its host", example},
		{"https://api..internal", "its host", example},
		{"https://api.internal..", "its host", example},
		{"https://a,b", "its host", example},
		{"https://[fe80::1%25eth0]", "its host", example},

		{"https://secret@api.internal", "a user name", "https://api.internal"},
		{"https://user:secret@api.internal/v1", "a user name", "https://api.internal"},
		{"user:secret@api.internal", "begin with https", "https://api.internal"},
		{"https://user:secret word@api.internal", "not a URL", example},
		{"https://secret/word@api.internal", "a path", example},
		{"https://user:1/secret@api.internal", "a path", example},
		{"https://api.internal/?token=secret", "a query", "https://api.internal"},
	}
	for _, test := range tests {
		o, err := parseOrigin(test.text)
		if test.flaw == "" {
			if err != nil || o.String() != test.instead {
				t.Errorf("%q: got %s, %v; want %s", test.text, o, err, test.instead)
			}
			continue
		}
		if err == nil {
			t.Errorf("%q: got %s, want an error", test.text, o)
			continue
		}
		text := err.Error()
		if !strings.Contains(text, test.flaw) || !strings.HasSuffix(text, "write it as \""+test.instead+`"`) {
			t.Errorf("%q: got %q, want %q and %q", test.text, text, test.flaw, test.instead)
		}
		if strings.Contains(text, "secret") || strings.Contains(text, "user:") {
			t.Errorf("%q: the error shows too much: %s", test.text, text)
		}
	}
}

func TestNewOrigins(t *testing.T) {
	tests := []struct {
		allowed, plain []string
		want           []string // in the error
	}{
		{nil, nil, nil},
		{[]string{"https://a.example", "http://127.0.0.1:1"}, nil, nil},
		{[]string{"http://a.example"}, []string{"http://A.example:80"}, nil},
		{nil, []string{"http://localhost:8080"}, nil},
		{[]string{"https://a.example", "b.example", "*"}, []string{"c.example"},
			[]string{"Origins[1]", "Origins[2]", "DangerouslyAllowHTTP[0]"}},
		{[]string{"http://a.example"}, nil, []string{"in the clear"}},
		{nil, []string{"https://a.example"}, []string{"needs no permission"}},
		{[]string{"https://a.example"}, []string{"http://a.example"}, []string{"name it in Origins too"}},
	}
	for _, test := range tests {
		_, err := newOrigins(test.allowed, test.plain)
		if (err != nil) != (test.want != nil) {
			t.Errorf("%q, %q: got %v, want %q", test.allowed, test.plain, err, test.want)
		}
		for _, want := range test.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%q, %q: got %v, want %q", test.allowed, test.plain, err, want)
			}
		}
	}
}

// chain returns the last request of a redirect chain through urls.
func chain(t testing.TB, urls ...string) *http.Request {
	t.Helper()
	var req *http.Request
	for _, text := range urls {
		next, err := http.NewRequest("GET", text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if req != nil {
			next.Response = &http.Response{Request: req}
		}
		req = next
	}
	return req
}

// dialed returns the address that net/http connects to for req, and whether it
// begins TLS there.
func dialed(req *http.Request) (addr string, secure bool) {
	errDial := errors.New("not dialed in tests")
	record := func(tls bool) func(context.Context, string, string) (net.Conn, error) {
		return func(_ context.Context, _, a string) (net.Conn, error) {
			addr, secure = a, tls
			return nil, errDial
		}
	}
	base := &http.Transport{DialContext: record(false), DialTLSContext: record(true)}
	_, _ = base.RoundTrip(req)
	return addr, secure
}
