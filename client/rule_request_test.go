package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

func TestRule036_redirects_of_the_token_endpoint_are_not_followed(t *testing.T) {
	targets := []string{"https://evil.test/token", "http://auth.test/token", "/token", "/other", "https://%zz/", ""}
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, target := range targets {
			t.Run(fmt.Sprint(status, " ", target), func(t *testing.T) {
				f := newFixture(t)
				f.Inject(testserver.Match{}, testserver.Always, testserver.Redirect(status, target))
				re := f.fail(t)
				var se *ServerError
				if !errors.As(re, &se) || se.Status != status || re.Kind != transport.Transient || !strings.Contains(re.Error(), "redirect") {
					t.Errorf("error %v of kind %v, want a transient one that speaks of a redirect with status %d", re, re.Kind, status)
				}
				if all := f.Log().Entries(); len(all) != 1 || all[0].Host != "auth.test" {
					t.Errorf("requests %v, want the one to the token endpoint", all)
				}
			})
		}
	}
}

func TestRule037_endpoints_are_https_and_certificates_are_checked(t *testing.T) {
	for _, c := range []struct {
		url string
		ok  bool
	}{
		{"https://auth.example.com/token", true},
		{"https://auth.example.com:8443/token?tenant=a", true},
		{"http://127.0.0.1:8080/token", true},
		{"http://127.9.9.9/token", true},
		{"http://[::1]:8080/token", true},
		{"http://auth.example.com/token", false},
		{"http://localhost/token", false},
		{"http://127.0.0.1.example.com/token", false},
		{"http://[::1%25lo]/token", false},
		{"http://0.0.0.0/token", false},
		{"HTTP://auth.example.com/token", false},
		{"ftp://127.0.0.1/token", false},
		{"auth.example.com/token", false},
		{"//auth.example.com/token", false},
		{"/token", false},
		{"https:token", false},
		{"https://:443/token", false},
		{"https://user:canary@auth.example.com/token", false},
		{"https://auth.example.com/token#", false},
		{"https://auth.example.com/to%zzken", false},
	} {
		_, err := New(Config{ClientID: "app", Endpoint: oauth2.Endpoint{TokenURL: c.url}})
		if (err == nil) != c.ok {
			t.Errorf("token URL %s: error %v", c.url, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "Endpoint.TokenURL") || strings.Contains(err.Error(), "canary")) {
			t.Errorf("token URL %s: error %q, want the field in it and not its value", c.url, err)
		}
	}

	t.Run("self-signed", func(t *testing.T) {
		came := false
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came = true }))
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.StartTLS()
		defer srv.Close()
		c, err := New(Config{ClientID: "app", ClientSecret: "s", Endpoint: oauth2.Endpoint{TokenURL: srv.URL}, Grant: ClientCredentials{}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Session("").Token(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("error %v, want one about the certificate", err)
		}
		if came {
			t.Error("a request was sent to a server with an unknown certificate")
		}
		insecure := srv.Client().Transport.(*http.Transport).Clone()
		insecure.TLSClientConfig.InsecureSkipVerify = true
		_, err = New(Config{ClientID: "app", Endpoint: oauth2.Endpoint{TokenURL: srv.URL}, TokenClient: &http.Client{Transport: insecure}})
		if err == nil || !strings.Contains(err.Error(), "TokenClient") {
			t.Errorf("InsecureSkipVerify: error %v, want one that names TokenClient", err)
		}
	})
}

func TestRule039_basic_authentication_form_encodes_id_and_secret(t *testing.T) {
	for _, c := range []struct{ text, encoded string }{
		{"plain-id_1.2~3", "plain-id_1.2~3"},
		{"a b", "a+b"},
		{"a+b", "a%2Bb"},
		{"a:b", "a%3Ab"},
		{"100%", "100%25"},
		{"a&b=c", "a%26b%3Dc"},
		{"/?#@!", "%2F%3F%23%40%21"},
		{"£", "%C2%A3"},
		{"€", "%E2%82%AC"},
		{" %&+£€", "+%25%26%2B%C2%A3%E2%82%AC"}, // RFC 6749 appendix B
	} {
		for _, raw := range []bool{false, true} {
			f := newFixture(t, func(cfg *Config) {
				cfg.ClientID, cfg.ClientSecret, cfg.Quirks.RawBasic = c.text, c.text, raw
			})
			f.UpdatePolicy(func(p *testserver.Policy) {
				p.Clients, p.RawBasic = map[string]string{c.text: c.text}, raw
			})
			_, err := f.session.Token(t.Context())
			want := c.encoded + ":" + c.encoded
			if raw {
				want = c.text + ":" + c.text
			} else if err != nil { // a colon in a raw id can't be told from the one behind it
				t.Errorf("%q: %v", c.text, err)
			}
			got, _ := strings.CutPrefix(f.lastRequest(t).Header.Get("Authorization"), "Basic ")
			if text, err := base64.StdEncoding.DecodeString(got); err != nil || string(text) != want {
				t.Errorf("%q, raw %t: sent %q (%v), want %q", c.text, raw, text, err, want)
			}
		}
	}
}

func TestRule040_one_client_authentication_and_never_in_the_url(t *testing.T) {
	for _, c := range []struct {
		name   string
		auth   Auth
		secret string
		style  oauth2.AuthStyle
		want   testserver.ClientAuth
	}{
		{"default with a secret", nil, testSecret, oauth2.AuthStyleAutoDetect, testserver.AuthBasic},
		{"default in the x/oauth2 style", nil, testSecret, oauth2.AuthStyleInParams, testserver.AuthPost},
		{"default without", nil, "", oauth2.AuthStyleInParams, testserver.AuthNone},
		{"basic", ClientSecretBasic{}, testSecret, oauth2.AuthStyleInParams, testserver.AuthBasic},
		{"post", ClientSecretPost{}, testSecret, oauth2.AuthStyleInHeader, testserver.AuthPost},
		{"none", None{}, "", oauth2.AuthStyleAutoDetect, testserver.AuthNone},
	} {
		for _, grant := range []Grant{nil, ClientCredentials{}} {
			if grant != nil && c.secret == "" && c.auth == nil {
				continue // New refuses it
			}
			t.Run(fmt.Sprintf("%s %T", c.name, grant), func(t *testing.T) {
				f := newFixture(t, func(cfg *Config) {
					cfg.Auth, cfg.ClientSecret, cfg.Endpoint.AuthStyle, cfg.Grant = c.auth, c.secret, c.style, grant
				})
				if _, err := f.session.Token(t.Context()); err != nil {
					t.Fatal(err)
				}
				e := f.lastRequest(t)
				if e.ClientAuth != c.want || e.ClientID != testID {
					t.Errorf("client %q authenticated by %q, want %q by %q", e.ClientID, e.ClientAuth, testID, c.want)
				}
				inHeader, inForm := e.Header.Get("Authorization") != "", e.Form.Has("client_secret")
				if inHeader != (c.want == testserver.AuthBasic) || inForm != (c.want == testserver.AuthPost) {
					t.Errorf("header %t, client_secret %t", inHeader, inForm)
				}
				if e.Form.Has("client_id") != (c.want != testserver.AuthBasic) {
					t.Errorf("client_id in the form: %t", e.Form.Has("client_id"))
				}
				if e.Query != "" {
					t.Errorf("query %q, want none", e.Query)
				}
			})
		}
	}
}

func TestRule041_no_failure_makes_the_client_try_another_authentication(t *testing.T) {
	answers := map[string]testserver.Action{
		"200 that is no JSON":    testserver.Respond(200, http.Header{"Content-Type": {"application/json"}}, "<"),
		"200 without a token":    testserver.Respond(200, http.Header{"Content-Type": {"application/json"}}, "{}"),
		"200 HTML":               testserver.HTML(200),
		"401 invalid_client":     testserver.OAuthError(401, "invalid_client", ""),
		"400 invalid_client":     testserver.OAuthError(400, "invalid_client", ""),
		"400 unauthorized":       testserver.OAuthError(400, "unauthorized_client", ""),
		"400 invalid_request":    testserver.OAuthError(400, "invalid_request", ""),
		"400 invalid_grant":      testserver.OAuthError(400, "invalid_grant", ""),
		"401 with a challenge":   testserver.Unauthorized("Basic realm=x"),
		"403 HTML":               testserver.HTML(403),
		"429":                    testserver.Status(429),
		"500":                    testserver.Status(500),
		"502 HTML":               testserver.HTML(502),
		"503":                    testserver.Status(503),
		"503 with Retry-After 0": testserver.Status(503, "Retry-After", "0"),
	}
	for name, action := range answers {
		for _, auth := range []Auth{nil, ClientSecretPost{}} {
			t.Run(fmt.Sprintf("%s %T", name, auth), func(t *testing.T) {
				f := newFixture(t, func(c *Config) { c.Auth = auth })
				f.Inject(testserver.OnToken, testserver.Always, action)
				f.fail(t)
				if n := f.Log().TokenRequests(); n != 1 {
					t.Errorf("%d token requests, want 1", n)
				}
			})
		}
	}
}

func TestRule112_client_credentials_keep_no_refresh_token(t *testing.T) {
	f := newFixture(t, func(c *Config) {
		c.Scopes = []string{"read", "write"}
		c.Grant = ClientCredentials{Params: url.Values{"audience": {"https://api.test"}}}
	})
	f.members(map[string]string{"refresh_token": `"not-to-be-kept"`})
	var last transport.Token
	for i := 1; i <= 3; i++ {
		tok, err := f.session.Refresh(t.Context(), last)
		if err != nil {
			t.Fatal(err)
		}
		last = tok
		if rec := f.record(t); !rec.RefreshToken.IsZero() {
			t.Fatal("the record holds a refresh token")
		}
		if n := f.Log().Grants("client_credentials"); n != i || f.Log().TokenRequests() != i {
			t.Fatalf("%d grants in %d requests, want %d", n, f.Log().TokenRequests(), i)
		}
	}
	e := f.lastRequest(t)
	if e.Form.Get("scope") != "read write" || e.Form.Get("audience") != "https://api.test" || e.Form.Has("refresh_token") {
		t.Errorf("sent scope %q, audience %q, refresh_token %t", e.Form.Get("scope"), e.Form.Get("audience"), e.Form.Has("refresh_token"))
	}
}
