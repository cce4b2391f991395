package transport_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/transport"
)

// redirects answers by the path: "/302/https://host/..." leads there.
func redirects(req *http.Request) *http.Response {
	status, location, ok := strings.Cut(strings.TrimPrefix(req.URL.RequestURI(), "/"), "/")
	if !ok {
		return reply(http.StatusOK)
	}
	code := http.StatusFound
	fmt.Sscan(status, &code)
	return reply(code, "Location", location)
}

func TestRule001_origins_compared_exactly(t *testing.T) {
	const api = "https://api.example.com"
	for _, text := range transport.Lookalikes {
		if _, err := http.NewRequest("GET", text, nil); err != nil {
			continue
		}
		t.Run("listed/"+text, func(t *testing.T) {
			w := new(wire)
			c, _ := signedIn(t, w, transport.Config{Origins: []string{api}})
			_ = fetch(t, c, text)
			if got := strings.Join(w.tokens(), ""); got != "" {
				t.Errorf("%s got %s", text, got)
			}
		})
		t.Run("redirected/"+text, func(t *testing.T) {
			first := true
			w := &wire{answer: func(*http.Request) *http.Response {
				if first {
					first = false
					return reply(http.StatusFound, "Location", text)
				}
				return reply(http.StatusOK)
			}}
			c, _ := signedIn(t, w, transport.Config{})
			_ = fetch(t, c, api)
			if u, err := url.Parse(text); err == nil && u.Scheme == "" {
				return // it is relative, and leads back
			}
			if got := w.tokens(); got[0] != "Bearer "+canary+"1" || strings.Join(got[1:], "") != "" {
				t.Errorf("got %q, want a token in the first only", got)
			}
		})
	}
	for _, text := range []string{api, api + "/v1?a#b", api + ":443/", api + ":/", "HTTPS://API.Example.COM.", api + ".:0443/"} {
		t.Run("the same/"+text, func(t *testing.T) {
			w := new(wire)
			c, _ := signedIn(t, w, transport.Config{Origins: []string{"https://other.example", "https://API.example.com:443/"}})
			if err := fetch(t, c, text); err != nil {
				t.Fatal(err)
			}
			wantSent(t, w, "1")
		})
	}
}

func TestRule002_no_token_after_redirect(t *testing.T) {
	const a, b = "https://a.example", "https://b.example"
	list := []string{a}
	tests := []struct {
		name    string
		origins []string
		chain   []string
		want    []string
	}{
		{"on the origin", nil, []string{a, a, a + ":443"}, []string{"1", "1", "1"}},
		{"to another host", nil, []string{a, b}, []string{"1", ""}},
		{"to a subdomain", nil, []string{a, "https://sub.a.example"}, []string{"1", ""}},
		{"to another port", nil, []string{a, a + ":8443"}, []string{"1", ""}},
		{"to another scheme", nil, []string{a, "http://a.example"}, []string{"1", ""}},
		{"on there", nil, []string{a, b, b, b + ":443"}, []string{"1", "", "", ""}},
		{"back from there", nil, []string{a, b, b, a, a}, []string{"1", "", "", "", ""}},
		{"from where no token goes", list, []string{b, b}, []string{"", ""}},
		{"to another host, with Origins", list, []string{a, b, b}, []string{"1", "", ""}},
		{"to http, with Origins", list, []string{a, "http://a.example"}, []string{"1", ""}},
		{"back to one of Origins", list, []string{a, b, a}, []string{"1", "", "1"}},
	}
	for _, test := range tests {
		for _, status := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprint(test.name, "/", status), func(t *testing.T) {
				w := &wire{answer: redirects}
				c, _ := signedIn(t, w, transport.Config{Origins: test.origins})
				link := fmt.Sprintf("/%d/", status)
				resp, err := c.Post(strings.Join(test.chain, link), "text/plain", strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				wantSent(t, w, test.want...)
			})
		}
	}
}

func TestRule003_no_token_over_plain_http(t *testing.T) {
	const plain, port = "http://api.example.com", "http://api.example.com:8080"
	local := []string{"http://localhost:8080"}
	tests := []struct {
		name, url string
		cfg       transport.Config
		ok        bool
	}{
		{"any host", plain, transport.Config{}, false},
		{"any address", "http://10.0.0.1", transport.Config{}, false},
		{"loopback", "http://127.0.0.1:8080", transport.Config{}, true},
		{"IPv6 loopback", "http://[::1]:8080", transport.Config{}, true},
		{"the name localhost", "http://localhost:8080", transport.Config{}, false},
		{"a name that begins like loopback", "http://127.0.0.1.example.com", transport.Config{}, false},
		{"loopback as a name", "http://127.1", transport.Config{}, false},
		{"allowed", plain, transport.Config{DangerouslyAllowHTTP: []string{plain}}, true},
		{"allowed and listed", plain, transport.Config{Origins: []string{plain}, DangerouslyAllowHTTP: []string{plain}}, true},
		{"another port is allowed", plain, transport.Config{DangerouslyAllowHTTP: []string{port}}, false},
		{"localhost allowed", "http://localhost:8080", transport.Config{DangerouslyAllowHTTP: local}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := new(wire)
			c, i := signedIn(t, w, test.cfg)
			err := fetch(t, c, test.url)
			if test.ok {
				if err != nil {
					t.Fatal(err)
				}
				wantSent(t, w, "1")
				return
			}
			if err == nil || !strings.Contains(err.Error(), "DangerouslyAllowHTTP") {
				t.Errorf("got %v, want an error that says what to do", err)
			}
			wantSent(t, w)
			if n := i.calls.Load(); n != 0 {
				t.Errorf("%d tokens were made for a request that is not sent", n)
			}
		})
	}
	t.Run("from https to http on the same host", testDowngrade)
	t.Run("listed but not allowed", func(t *testing.T) {
		src := newSource(t, transport.SourceConfig{Refresh: new(issuer).refresh})
		if _, err := transport.New(transport.Config{Source: src, Origins: []string{plain}}); err == nil {
			t.Error("New takes an origin that never gets a token")
		}
	})
}

// testDowngrade redirects from a server with TLS to one without, both real, so
// that net/http itself has a hand in it.
func testDowngrade(t *testing.T) {
	var first, second http.Header
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { second = r.Header }))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first = r.Header
		http.Redirect(w, r, plain.URL, http.StatusFound)
	}))
	defer secure.Close()
	base := secure.Client().Transport.(*http.Transport)
	base.TLSClientConfig = &tls.Config{RootCAs: base.TLSClientConfig.RootCAs, ServerName: "example.com"}
	for _, origins := range [][]string{nil, {secure.URL}} {
		c, _ := signedIn(t, base, transport.Config{Origins: origins})
		if err := fetch(t, c, secure.URL); err != nil {
			t.Fatal(err)
		}
		if got := first.Get("Authorization"); got != "Bearer "+canary+"1" {
			t.Errorf("over https: got %q", got)
		}
		if got := second.Get("Authorization"); got != "" {
			t.Errorf("over http: got %q", got)
		}
	}
}

func TestRule007_host_override_needs_both_listed(t *testing.T) {
	const a, b = "https://a.example", "https://b.example"
	tests := []struct {
		name    string
		origins []string
		host    string
		want    string
	}{
		{"none", nil, "", "1"},
		{"the same", nil, "a.example", "1"},
		{"the same in another spelling", nil, "A.example.:443", "1"},
		{"another", nil, "b.example", ""},
		{"another port", nil, "a.example:8443", ""},
		{"the same, listed", []string{a}, "a.example:443", "1"},
		{"another, not listed", []string{a}, "b.example", ""},
		{"another, listed", []string{a, b}, "b.example", "1"},
		{"another port of one listed", []string{a, b}, "b.example:8443", ""},
		{"one listed, on an address that is not", []string{b}, "b.example", ""},
		{"something that is no host", []string{a}, "a.example, b.example", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := new(wire)
			c, _ := signedIn(t, w, transport.Config{Origins: test.origins})
			req, err := http.NewRequest("GET", a, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = test.host
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			wantSent(t, w, test.want)
			if w.seen[0].Host != test.host {
				t.Errorf("sent the Host %q, want %q", w.seen[0].Host, test.host)
			}
		})
	}
}
