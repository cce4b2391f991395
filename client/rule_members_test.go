package client

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

func TestRule046_no_expires_in_fails_overflows_or_storms(t *testing.T) {
	const unknown = -1
	for _, c := range []struct {
		member string
		want   time.Duration // at most, and not much less
	}{
		{testserver.Omit, unknown},
		{`null`, unknown},
		{`""`, unknown},
		{`0`, unknown},
		{`-0`, unknown},
		{`-1`, unknown},
		{`-9223372037`, unknown},
		{`"abc"`, unknown},
		{`"3600s"`, unknown},
		{`"Infinity"`, unknown},
		{`"NaN"`, unknown},
		{`"0x10"`, unknown},
		{`true`, unknown},
		{`[3600]`, unknown},
		{`{"seconds":3600}`, unknown},
		{`1e-400`, unknown},
		{`3600`, time.Hour},
		{`"3600"`, time.Hour},
		{`" 3600 "`, time.Hour},
		{`3600.0`, time.Hour},
		{`3599.9`, 3599900 * time.Millisecond},
		{`3.6e3`, time.Hour},
		{`2147483648`, maxLifetime},
		{`9223372037`, maxLifetime}, // a second more than a Duration holds
		{`600000000000`, maxLifetime},
		{`18446744073709551617`, maxLifetime},
		{`1e30`, maxLifetime},
		{`1e400`, maxLifetime},
		{`"1e30"`, maxLifetime},
	} {
		t.Run(c.member, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(c *Config) {
				c.Base = roundTrip(func(req *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Body: http.NoBody, Request: req}, nil
				})
			})
			f.members(map[string]string{"expires_in": c.member})
			hc := f.session.HTTPClient()
			start := time.Now().Round(0)
			for range 1000 {
				resp, err := hc.Get(f.APIURL("/"))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			if n := f.Log().TokenRequests(); n != 1 {
				t.Errorf("%d token requests for 1000 requests, want 1", n)
			}
			tok, err := f.session.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			lifetime := tok.Expiry().Sub(start)
			if c.want == unknown && !tok.Expiry().IsZero() || c.want != unknown && (lifetime < c.want || lifetime > c.want+time.Minute) {
				t.Errorf("expiry %v after the start, want %v", lifetime, c.want)
			}
			if f.record(t).RefreshToken.Reveal() != f.lastRequest(t).NewRefreshToken {
				t.Error("the new refresh token is not in the store")
			}
		})
	}
}

func TestRule048_nothing_wrong_with_an_answer_loses_its_refresh_token(t *testing.T) {
	for _, c := range []struct {
		name, value string
		ok          bool
	}{
		{"expires_in", `"soon"`, true},
		{"expires_in", `[1]`, true},
		{"expires_in", `1e999`, true},
		{"scope", `7`, true},
		{"scope", `["a",7]`, true},
		{"scope", `"\u001b[2J \"x"`, true},
		{"id_token", `{}`, true},
		{"id_token", `"a\r\nb"`, true},
		{"refresh_expires_in", `"never"`, true},
		{"token_type", `7`, false},
		{"token_type", `"N_A"`, false},
		{"access_token", testserver.Omit, false},
		{"access_token", `null`, false},
		{"access_token", `7`, false},
		{"access_token", `""`, false},
		{"access_token", `"a b"`, false},
		{"access_token", `"a\r\nX: y"`, false},
		{"access_token", `"ä"`, false},
		{"error", `"server_error"`, false},
		{"x", `"` + strings.Repeat("x", maxExtra) + `"`, true},
		{"x", strings.Repeat("[", 9999) + strings.Repeat("]", 9999), true}, // deep
	} {
		t.Run(c.name+" "+c.value[:min(len(c.value), 20)], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.members(map[string]string{c.name: c.value})
				tok, err := f.session.Token(t.Context())
				if (err == nil) != c.ok {
					t.Errorf("error %v", err)
				}
				rotated := f.lastRequest(t).NewRefreshToken
				if got := f.record(t).RefreshToken.Reveal(); got != rotated {
					t.Fatalf("the store holds %.10q, not the new refresh token", got)
				}
				f.members(nil)
				time.Sleep(2 * time.Hour)
				if _, err := f.session.Refresh(t.Context(), tok); err != nil {
					t.Errorf("the next refresh: %v", err)
				}
				if f.lastRequest(t).RefreshToken != rotated || f.Log().Reused() != 0 {
					t.Error("the next refresh did not send the new refresh token")
				}
			})
		})
	}
	for name, body := range map[string]string{
		"a member twice":  `{"access_token":"at","refresh_token":"new","scope":"a","scope":"b"}`,
		"something after": `{"access_token":"at","refresh_token":"new"}]`,
		"cut":             `{"refresh_token":"new","access_token":"a`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.answer(200, "application/json", body)
			f.fail(t)
			if got := f.record(t).RefreshToken.Reveal(); got != "new" {
				t.Errorf("the store holds %q, not the new refresh token", got)
			}
		})
	}
	t.Run("a form without an access token", func(t *testing.T) {
		f := newFixture(t)
		f.answer(200, "application/x-www-form-urlencoded", "refresh_token=new&token_type=bearer")
		f.fail(t)
		if got := f.record(t).RefreshToken.Reveal(); got != "new" {
			t.Errorf("the store holds %q, not the new refresh token", got)
		}
	})
	t.Run("text/html", func(t *testing.T) {
		f := newFixture(t)
		f.UpdatePolicy(func(p *testserver.Policy) { p.ContentType = "text/html" })
		f.fail(t)
		if f.record(t).RefreshToken.Reveal() != f.lastRequest(t).NewRefreshToken {
			t.Error("the new refresh token is not in the store")
		}
	})
}

func TestRule049_a_refresh_token_is_replaced_once_there_is_another(t *testing.T) {
	for _, absent := range []string{"", `"refresh_token":null,`, `"refresh_token":"",`} {
		e := testEndpoint(roundTrip(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{" + absent + `"access_token":"at"}`))}, nil
		}))
		rec, re := refreshWith(t.Context(), t, e)
		if re != nil || rec.RefreshToken.Reveal() != "old" {
			t.Errorf("%s: error %v, refresh token %q", absent, re, rec.RefreshToken.Reveal())
		}
	}
	for name, rotation := range map[string]testserver.Rotation{
		"rotated": testserver.Rotate, "repeated": testserver.KeepRepeated, "omitted": testserver.KeepOmitted,
		"empty": testserver.KeepEmpty, "null": testserver.KeepNull,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.SetPolicy(testserver.Policy{Rotation: rotation})
				want := f.seed
				for range 50 {
					if _, err := f.session.Token(t.Context()); err != nil {
						t.Fatal(err)
					}
					e := f.lastRequest(t)
					if e.RefreshToken != want {
						t.Fatal("another refresh token was sent than the last one received")
					}
					if rotation == testserver.Rotate {
						want = e.NewRefreshToken
					}
					if got := f.record(t).RefreshToken.Reveal(); got != want {
						t.Fatal("the store does not hold the last refresh token received")
					}
					time.Sleep(2 * time.Hour)
				}
				if f.Log().Refreshes() != 50 || f.Log().Reused() != 0 {
					t.Errorf("%d refreshes, %d with a spent token, want 50 and 0", f.Log().Refreshes(), f.Log().Reused())
				}
			})
		})
	}
}

func TestRule050_granted_scope_is_recorded_and_no_refresh_asks_for_more(t *testing.T) {
	for _, c := range []struct{ member, want string }{
		{testserver.Omit, "read write"}, // what was asked for
		{`null`, "read write"},
		{`""`, "read write"},
		{`7`, "read write"},
		{`"read"`, "read"},
		{`"write read"`, "write read"},
		{`"read,write"`, "read write"},
		{`"read, write"`, "read write"},
		{`["write","read"]`, "write read"},
		{`"read\u0007 write\u001b[2J x"`, "x"},
		{`"https://api.test/a.b read"`, "https://api.test/a.b read"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, func(c *Config) { c.Scopes = []string{"read", "write"} })
			f.members(map[string]string{"scope": c.member})
			for range 2 {
				tok, err := f.session.Token(t.Context())
				if err != nil {
					t.Fatalf("scope %s: %v", c.member, err)
				}
				if tok.Scope() != c.want {
					t.Errorf("scope %s: recorded %q, want %q", c.member, tok.Scope(), c.want)
				}
				if f.lastRequest(t).Form.Has("scope") {
					t.Error("a refresh asked for a scope")
				}
				time.Sleep(2 * time.Hour)
				f.members(map[string]string{"scope": testserver.Omit}) // the previous one stays
			}
			f.members(map[string]string{"scope": `"narrow"`})
			if tok, err := f.session.Token(t.Context()); err != nil || tok.Scope() != "narrow" {
				t.Errorf("scope %s, then narrower: recorded %q: %v", c.member, tok.Scope(), err)
			}
		})
	}

	for _, c := range []struct{ granted, ask, sent, token string }{
		{"read write", "read", "read", "read"},
		{"read write", "read admin", "read", "read"},
		{"read write", "admin", "", "read write"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, func(cfg *Config) {
				cfg.Scopes = strings.Fields(c.granted)
				cfg.RefreshParams = url.Values{"scope": {c.ask}}
			})
			f.members(map[string]string{"scope": testserver.Omit})
			var tok transport.Token
			for range 2 { // what was granted is known from the first refresh on
				var err error
				if tok, err = f.session.Token(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Hour)
			}
			form := f.lastRequest(t).Form
			if got := form.Get("scope"); got != c.sent || form.Has("scope") != (c.sent != "") {
				t.Errorf("granted %q, %q asked for: sent %q, want %q", c.granted, c.ask, got, c.sent)
			}
			if tok.Scope() != c.token || f.record(t).Scope != c.granted {
				t.Errorf("granted %q, %q asked for: the token has %q, the session %q", c.granted, c.ask, tok.Scope(), f.record(t).Scope)
			}
		})
	}
}
