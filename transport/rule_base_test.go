package transport_test

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-go/freshet/transport"
)

// fields are the exported fields of what v points to, as far as they can be
// compared.
func fields(v any) map[string]any {
	all := map[string]any{}
	s := reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		name, f := s.Type().Field(i).Name, s.Field(i)
		switch {
		case !s.Type().Field(i).IsExported():
		case f.Kind() == reflect.Func || f.Kind() == reflect.Map || f.Kind() == reflect.Pointer:
			all[name] = f.Pointer()
		default:
			all[name] = f.Interface()
		}
	}
	return all
}

func TestRule011_callers_client_unchanged(t *testing.T) {
	var seen []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		if r.URL.Path == "/401" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	own := &http.Transport{MaxIdleConns: 7, Proxy: http.ProxyFromEnvironment, ProxyConnectHeader: http.Header{"A": {"b"}}}
	defer own.CloseIdleConnections()
	hc := &http.Client{Transport: own, Timeout: 5e9}
	for _, c := range []*http.Client{http.DefaultClient, hc} { // transports change themselves when they are first used
		if err := fetch(t, c, api.URL); err != nil {
			t.Fatal(err)
		}
	}
	watched := []any{http.DefaultClient, http.DefaultTransport.(*http.Transport), own, hc}
	var before []map[string]any
	for _, v := range watched {
		before = append(before, fields(v))
	}
	for _, base := range []http.RoundTripper{nil, hc.Transport} {
		c, _ := signedIn(t, base, transport.Config{})
		for _, path := range []string{"/", "/401"} {
			if err := fetch(t, c, api.URL+path); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, v := range watched {
		if got := fields(v); !reflect.DeepEqual(got, before[i]) {
			t.Errorf("%T was changed:\n%v\n%v", v, before[i], got)
		}
	}
	seen = nil
	for _, c := range []*http.Client{http.DefaultClient, hc} {
		if err := fetch(t, c, api.URL); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(seen, []string{"", ""}) {
		t.Errorf("the callers' own clients send %q", seen)
	}
	t.Run("lists", testListsCopied)
}

// testListsCopied changes the lists of a Config after they were used.
func testListsCopied(t *testing.T) {
	origins, plain := []string{"http://a.example"}, []string{"http://a.example"}
	w := new(wire)
	c, _ := signedIn(t, w, transport.Config{Origins: origins, DangerouslyAllowHTTP: plain})
	if origins[0] != "http://a.example" || plain[0] != "http://a.example" {
		t.Errorf("changed: %q, %q", origins, plain)
	}
	origins[0], plain[0] = "https://b.example", "http://b.example"
	for _, u := range []string{"http://a.example", "https://b.example"} {
		if err := fetch(t, c, u); err != nil {
			t.Fatal(err)
		}
	}
	wantSent(t, w, "1", "")
}

// A tunnel is a proxy for CONNECT that notes what it is asked, and refuses if
// told so.
type tunnel struct {
	refuse bool

	mu   sync.Mutex
	seen []http.Header
}

func (p *tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Header.Clone())
	p.mu.Unlock()
	if r.Method != http.MethodConnect || p.refuse {
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	out, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer out.Close()
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer in.Close()
	_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(out, in); out.Close() }()
	_, _ = io.Copy(in, out)
}

func TestRule012_proxies(t *testing.T) {
	t.Run("the token is inside the tunnel", func(t *testing.T) { testTunnel(t, &tunnel{}) })
	t.Run("the proxy refuses the tunnel", func(t *testing.T) { testTunnel(t, &tunnel{refuse: true}) })
	t.Run("407", func(t *testing.T) {
		w := &wire{answer: func(*http.Request) *http.Response {
			return reply(http.StatusProxyAuthRequired, "Proxy-Authenticate", `Basic realm="proxy"`, "WWW-Authenticate", `Bearer error="invalid_token"`)
		}}
		c, i := signedIn(t, w, transport.Config{})
		req, _ := http.NewRequest("GET", "https://api.example.com", nil)
		req.Header.Set("Proxy-Authorization", "Basic abc")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		wantSent(t, w, "1")
		if n := i.refreshes(); resp.StatusCode != 407 || n != 0 {
			t.Errorf("status %d, %d refreshes; want 407, 0", resp.StatusCode, n)
		}
		if got := w.seen[0].Header["Proxy-Authorization"]; !slices.Equal(got, []string{"Basic abc"}) {
			t.Errorf("Proxy-Authorization is %q", got)
		}
	})
}

func testTunnel(t *testing.T, p *tunnel) {
	var seen []http.Header
	api := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header) }))
	defer api.Close()
	proxy := httptest.NewServer(p)
	defer proxy.Close()
	base := api.Client().Transport.(*http.Transport)
	defer base.CloseIdleConnections()
	at, err := url.Parse(strings.Replace(proxy.URL, "//", "//user:pw@", 1))
	if err != nil {
		t.Fatal(err)
	}
	base.Proxy = http.ProxyURL(at)
	c, i := signedIn(t, base, transport.Config{})
	if err := fetch(t, c, api.URL); (err != nil) != p.refuse {
		t.Fatalf("got %v", err)
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:pw"))
	if len(p.seen) != 1 || p.seen[0].Get("Proxy-Authorization") != want || p.seen[0]["Authorization"] != nil {
		t.Errorf("the proxy was asked %v; want one CONNECT, with its own credentials alone", p.seen)
	}
	if n := i.refreshes(); n != 0 {
		t.Errorf("%d refreshes, want 0", n)
	}
	if p.refuse {
		return
	}
	if len(seen) != 1 || seen[0].Get("Authorization") != "Bearer "+canary+"1" || seen[0]["Proxy-Authorization"] != nil {
		t.Errorf("the API got %v; want the token alone", seen)
	}
}
