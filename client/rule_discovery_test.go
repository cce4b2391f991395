package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A site is a server made of documents by URL. A func answers where there is one, and
// everything else is 404.
type site map[string]any

func (s site) RoundTrip(req *http.Request) (*http.Response, error) {
	status, text := http.StatusNotFound, ""
	header := http.Header{"Content-Type": {"application/json"}}
	switch v := s[req.URL.String()].(type) {
	case string:
		status, text = http.StatusOK, v
	case int:
		status = v
	case error:
		return nil, v
	case http.Header:
		status, header = http.StatusFound, v
	case func() string:
		status, text = http.StatusOK, v()
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(text)), Request: req}, nil
}

// An asked is a site that notes what it is asked for.
type asked struct {
	site
	urls []string
}

func (a *asked) RoundTrip(req *http.Request) (*http.Response, error) {
	a.urls = append(a.urls, req.Method+" "+req.URL.String())
	return a.site.RoundTrip(req)
}

const (
	testIssuer = "https://auth.example.com"
	oauthPlace = "https://auth.example.com/.well-known/oauth-authorization-server"
	openPlace  = "https://auth.example.com/.well-known/openid-configuration"
)

// document returns metadata of an issuer with more members, as JSON text.
func document(issuer string, more ...string) string {
	members := append([]string{fmt.Sprintf(`"issuer":%q,"token_endpoint":"https://auth.example.com/token"`, issuer)}, more...)
	return "{" + strings.Join(members, ",") + "}"
}

// discoverer returns what finds the endpoints of issuer through base.
func discoverer(issuer string, base http.RoundTripper, change ...func(*Config)) *server {
	c := Config{Issuer: issuer, ClientID: testID, TokenClient: &http.Client{Transport: base}}
	for _, f := range change {
		f(&c)
	}
	return newTokenEndpoint(c).server
}

// wantKind checks that err is a RefreshError of that kind which says want.
func wantKind(t *testing.T, err error, kind transport.Kind, want string) {
	t.Helper()
	var re *transport.RefreshError
	if !errors.As(err, &re) || re.Kind != kind || !strings.Contains(re.Error(), want) {
		t.Errorf("error %v, want one of kind %v that says %q", err, kind, want)
	}
}

func TestRule100_metadata_is_used_only_of_the_very_issuer(t *testing.T) {
	for _, issuer := range []string{
		"https://auth.example.com/", "https://AUTH.example.com", "https://auth.example.com:443", "http://auth.example.com",
		"https://auth.example.com/tenant", "https://auth.example.com.evil.test", "https://evil.test", "https://auth.example.com?", "", " https://auth.example.com",
	} {
		for _, place := range []string{oauthPlace, openPlace} {
			a := &asked{site: site{place: document(issuer)}}
			known, err := discoverer(testIssuer, a).find(t.Context())
			wantKind(t, err, transport.Misconfigured, "Config.Issuer")
			if known != (endpoints{}) {
				t.Errorf("of the document of %q this was used: %+v", issuer, known)
			}
		}
	}
	for _, issuer := range []string{testIssuer, testIssuer + "/"} { // each is right for itself
		known, err := discoverer(issuer, site{oauthPlace: document(issuer)}).find(t.Context())
		if err != nil || known.token != "https://auth.example.com/token" {
			t.Errorf("of %q: %+v, %v", issuer, known, err)
		}
	}
	missing := `{"token_endpoint":"https://auth.example.com/token"}`
	_, err := discoverer(testIssuer, site{oauthPlace: missing}).find(t.Context())
	wantKind(t, err, transport.Misconfigured, "Config.Issuer")
}

func TestRule101_metadata_is_looked_for_in_a_fixed_order(t *testing.T) {
	for issuer, want := range map[string][]string{
		"https://a.test":              {"https://a.test/.well-known/oauth-authorization-server", "https://a.test/.well-known/openid-configuration"},
		"https://a.test/":             {"https://a.test/.well-known/oauth-authorization-server", "https://a.test/.well-known/openid-configuration"},
		"https://a.test:8443/t":       {"https://a.test:8443/.well-known/oauth-authorization-server/t", "https://a.test:8443/t/.well-known/openid-configuration"},
		"https://a.test/t/":           {"https://a.test/.well-known/oauth-authorization-server/t", "https://a.test/t/.well-known/openid-configuration"},
		"https://a.test/o/t%2Fx":      {"https://a.test/.well-known/oauth-authorization-server/o/t%2Fx", "https://a.test/o/t%2Fx/.well-known/openid-configuration"},
		"http://127.0.0.1:9/realms/a": {"http://127.0.0.1:9/.well-known/oauth-authorization-server/realms/a", "http://127.0.0.1:9/realms/a/.well-known/openid-configuration"},
	} {
		a := &asked{site: site{}}
		_, err := discoverer(issuer, a).find(t.Context())
		wantKind(t, err, transport.Misconfigured, "no metadata")
		if got := strings.Join(a.urls, " "); got != "GET "+strings.Join(want, " GET ") {
			t.Errorf("%s: asked %v, want %v", issuer, a.urls, want)
		}
	}
	for _, status := range []int{404, 410, 400, 403, 405} {
		a := &asked{site: site{oauthPlace: status, openPlace: document(testIssuer)}}
		if _, err := discoverer(testIssuer, a).find(t.Context()); err != nil || len(a.urls) != 2 {
			t.Errorf("after %d: %v, asked %v", status, err, a.urls)
		}
	}
	for _, first := range []any{500, 502, 503, 429, 401, 408, 204, 206, 301, 307, errors.New("no route"), "", "<html>", "[]", document("https://evil.test")} {
		a := &asked{site: site{oauthPlace: first, openPlace: document(testIssuer)}}
		if _, err := discoverer(testIssuer, a).find(t.Context()); err == nil || len(a.urls) != 1 {
			t.Errorf("after %v: %v, asked %v; want an error and no other document", first, err, a.urls)
		}
	}
	both := site{oauthPlace: document(testIssuer), openPlace: `{"issuer":"https://auth.example.com","token_endpoint":"https://evil.test/token"}`}
	if known, err := discoverer(testIssuer, both).find(t.Context()); err != nil || known.token != "https://auth.example.com/token" {
		t.Errorf("of two documents: %+v, %v", known, err)
	}
}

func TestRule102_metadata_is_strict_bounded_and_can_not_take_over(t *testing.T) {
	t.Run("strict", testMetadataStrict)
	t.Run("bounded", testMetadataBounded)
	t.Run("take over", testMetadataTakeOver)
	t.Run("cached", testMetadataCached)
}

func testMetadataStrict(t *testing.T) {
	for _, bad := range []string{
		`"token_endpoint":"https://auth.example.com/token"`, // twice
		`"authorization_endpoint":"http://auth.example.com/authorize"`,
		`"authorization_endpoint":"javascript:alert(1)"`,
		`"authorization_endpoint":"file:///etc/passwd"`,
		`"authorization_endpoint":"https://user@auth.example.com/"`,
		`"authorization_endpoint":"https://auth.example.com/#f"`,
		`"authorization_endpoint":"/authorize"`,
		`"authorization_endpoint":["https://auth.example.com/authorize"]`,
		`"revocation_endpoint":"http://127.0.0.1/revoke"`, // not beside an issuer of the internet
		`"device_authorization_endpoint":5`,
		`"pushed_authorization_request_endpoint":"ftp://auth.example.com/par"`,
		`"code_challenge_methods_supported":"S256"`,
		`"require_pushed_authorization_requests":"true"`,
		`"authorization_response_iss_parameter_supported":1`,
	} {
		_, err := discoverer(testIssuer, site{oauthPlace: document(testIssuer, bad)}).find(t.Context())
		wantKind(t, err, transport.Misconfigured, "metadata")
	}
	for _, text := range []string{"", "{", "[]", "null", document(testIssuer) + "x", `{"issuer":"https://auth.example.com"}`, "\x00"} {
		_, err := discoverer(testIssuer, site{oauthPlace: text}).find(t.Context())
		wantKind(t, err, transport.Misconfigured, "metadata")
	}
	redirect := func(to string) http.Header { return http.Header{"Location": {to}} }
	for _, to := range []string{"https://evil.test/doc", openPlace, oauthPlace + "//", "http://auth.example.com/.well-known/oauth-authorization-server/", oauthPlace + "/?x", "", "%zz"} {
		a := &asked{site: site{oauthPlace: redirect(to), to: document(testIssuer)}}
		if _, err := discoverer(testIssuer, a).find(t.Context()); err == nil || len(a.urls) != 1 {
			t.Errorf("redirected to %q: %v, asked %v", to, err, a.urls)
		}
	}
	for _, to := range []string{oauthPlace + "/", "/.well-known/oauth-authorization-server/"} { // Django's
		a := &asked{site: site{oauthPlace: redirect(to), oauthPlace + "/": document(testIssuer)}}
		if _, err := discoverer(testIssuer, a).find(t.Context()); err != nil || len(a.urls) != 2 {
			t.Errorf("redirected to the slash: %v, asked %v", err, a.urls)
		}
	}
	again := site{oauthPlace: redirect(oauthPlace + "/"), oauthPlace + "/": redirect(oauthPlace + "//"), oauthPlace + "//": document(testIssuer)}
	if _, err := discoverer(testIssuer, again).find(t.Context()); err == nil {
		t.Error("redirected to slash after slash, and followed")
	}
}

func testMetadataBounded(t *testing.T) {
	read := 0
	endless := roundTrip(func(req *http.Request) (*http.Response, error) {
		body := io.TeeReader(io.MultiReader(strings.NewReader(`{"issuer":"`), spaces{}), writerFunc(func(p []byte) { read += len(p) }))
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body), Request: req}, nil
	})
	_, err := discoverer(testIssuer, endless).find(t.Context())
	wantKind(t, err, transport.Misconfigured, "1 MiB")
	if read > maxAnswer+1 {
		t.Errorf("%d bytes were read", read)
	}
	synctest.Test(t, func(t *testing.T) {
		hangs := roundTrip(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		began := time.Now()
		_, err := discoverer(testIssuer, hangs).find(context.Background())
		wantKind(t, err, transport.Transient, "metadata")
		if took := time.Since(began); took != transport.DefaultRefreshTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

// spaces never end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte(" "), len(p))), nil }

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// A document that changes while a session lives does not get its tokens.
func testMetadataTakeOver(t *testing.T) {
	evil := map[string]string{
		"token_endpoint":                "https://evil.test/token",
		"revocation_endpoint":           "https://evil.test/revoke",
		"device_authorization_endpoint": "https://evil.test/device",
		"authorization_endpoint":        "https://evil.test/authorize",
	}
	for member, url := range evil {
		synctest.Test(t, func(t *testing.T) {
			text := document(testIssuer)
			base := &asked{site: site{oauthPlace: func() string { return text }}}
			var log bytes.Buffer
			s := discoverer(testIssuer, base, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			first, err := s.findFresh(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			text = strings.Replace(document(testIssuer), `"token_endpoint"`, `"x"`, 1)
			text = text[:len(text)-1] + fmt.Sprintf(`,"token_endpoint":"https://auth.example.com/token",%q:%q}`, member, url)
			if member == "token_endpoint" {
				text = fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q}`, testIssuer, url)
			}
			for range 3 {
				time.Sleep(metadataAge)
				for _, find := range []func(context.Context) (endpoints, error){s.findFresh, s.find} {
					if known, err := find(t.Context()); err != nil || known != first {
						t.Errorf("%s: %+v, %v; want %+v", member, known, err, first)
					}
				}
			}
			if n := strings.Count(log.String(), "other endpoints"); n != 1 || len(base.urls) != 4 {
				t.Errorf("%d warnings, asked %d times", n, len(base.urls))
			}
			text = document(testIssuer, `"require_pushed_authorization_requests":true`)
			time.Sleep(metadataAge)
			if known, _ := s.findFresh(t.Context()); !known.mustPush {
				t.Error("what is new in a document with the same endpoints is not learned")
			}
		})
	}
}

// The document is read once for all who need it at once, not again for a refresh, and
// for a login when it is an hour old. A failure is that of all who waited.
func testMetadataCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fault error
		n := 0
		base := roundTrip(func(req *http.Request) (*http.Response, error) {
			n++
			select {
			case <-time.After(time.Second):
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
			if fault != nil {
				return nil, fault
			}
			return site{oauthPlace: document(testIssuer)}.RoundTrip(req)
		})
		s := discoverer(testIssuer, base)
		all := func(want int, find func(context.Context) (endpoints, error)) (failed int) {
			t.Helper()
			began, errs := n, make(chan error)
			for range 20 {
				go func() { _, err := find(t.Context()); errs <- err }()
			}
			for range 20 {
				if <-errs != nil {
					failed++
				}
			}
			if n-began != want {
				t.Errorf("asked %d times, want %d", n-began, want)
			}
			return failed
		}
		fault = io.ErrUnexpectedEOF
		if failed := all(1, s.find); failed != 20 {
			t.Errorf("%d failed of 20", failed)
		}
		fault = nil
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { _, err := s.find(ctx); left <- err }()
		synctest.Wait()
		time.AfterFunc(time.Second/2, cancel) // while the others wait for what it asks
		if failed := all(1, s.find); failed != 0 || <-left == nil {
			t.Errorf("%d failed with a caller that left", failed)
		}
		time.Sleep(100 * 24 * time.Hour)
		all(0, s.find)
		all(1, s.findFresh)
		all(0, s.findFresh)
		fault = io.ErrUnexpectedEOF
		time.Sleep(metadataAge)
		if failed := all(1, s.findFresh); failed != 0 {
			t.Errorf("%d logins failed although the endpoints are known", failed)
		}
	})
}

func TestRule104_metadata_can_not_lead_into_a_private_network(t *testing.T) {
	const issuer, other = "auth.example.com", "other.example.com"
	private := []string{
		"10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "0.0.0.0", "100.64.0.1", "169.254.169.254", "198.18.0.1", "240.0.0.1", "255.255.255.255",
		"224.0.0.1", "::1", "::", "fe80::1", "fd00:ec2::254", "fc00::1", "ff02::1", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:a00:1::", "2001:db8::1",
	}
	for _, ip := range private {
		g := newGuard("https://" + issuer)
		g.named(endpoints{token: "https://" + other + "/token"})
		if err := g.judge(issuer, "93.184.215.14:443"); err != nil {
			t.Fatal(err)
		}
		err := g.judge(other, net.JoinHostPort(ip, "443"))
		if err == nil || !strings.Contains(err.Error(), "Config.Endpoint") {
			t.Errorf("%s: %v", ip, err)
		}
		for _, host := range []string{issuer, "proxy.example.com"} { // what the program itself named
			if err := g.judge(host, net.JoinHostPort(ip, "443")); err != nil {
				t.Errorf("%s for %s: %v", ip, host, err)
			}
		}
	}
	g := newGuard("https://" + issuer)
	g.named(endpoints{token: "https://" + other + "/token", device: "https://[2606:4700::1111]/device"})
	for _, at := range []struct {
		host, addr string
		ok         bool
	}{
		{issuer, "10.0.0.1:443", true}, // a server in a private network
		{other, "10.0.0.2:443", true},
		{other, "169.254.169.254:443", false},
		{other, "[fe80::1%eth0]:443", false},
		{issuer, "[2606:4700::2]:443", true}, // and one of the internet
		{other, "10.0.0.2:443", false},
		{other, "93.184.215.14:443", true},
		{"2606:4700::1111", "[2606:4700::1111]:443", true},
	} {
		if err := g.judge(at.host, at.addr); (err == nil) != at.ok {
			t.Errorf("%s at %s: %v", at.host, at.addr, err)
		}
	}
	t.Run("at dial time", testGuardDials)
}

// A name that is looked up as the metadata service of a cloud is not connected to, and
// the error says so.
func testGuardDials(t *testing.T) {
	e := newTokenEndpoint(Config{Issuer: testIssuer, ClientID: testID, ClientSecret: testSecret})
	defer e.closeIdle()
	for _, url := range []string{"https://169.254.169.254/token", "https://[fe80::1]/token"} {
		e.server.known = &endpoints{token: url}
		e.server.guard.named(*e.server.known)
		_, err := e.refresh(t.Context(), tokenstore.Record{RefreshToken: tokenstore.NewSecret("rt-canary")}, "")
		wantKind(t, err, transport.Transient, "not an address of the internet")
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("shows a secret: %v", err)
		}
	}
}
