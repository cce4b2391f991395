package client

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

// revocations returns what came to the revocation endpoint.
func (f *fixture) revocations() []testserver.Entry {
	return f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.Revoke })
}

func TestRule110_logout_revokes_by_RFC_7009(t *testing.T) {
	t.Run("what is sent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			tok, err := f.session.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			rec := f.record(t)
			if err := f.session.Logout(t.Context()); err != nil {
				t.Fatal(err)
			}
			sent := f.revocations()
			if len(sent) != 2 {
				t.Fatalf("%d requests, want one for each token", len(sent))
			}
			for i, want := range []struct{ token, hint string }{{rec.RefreshToken.Reveal(), "refresh_token"}, {tok.Reveal(), "access_token"}} {
				e := sent[i]
				if e.Method != "POST" || e.Scheme != "https" || e.Query != "" || e.ClientID != testID || e.ClientAuth != testserver.AuthBasic ||
					e.Form.Get("token") != want.token || e.Form.Get("token_type_hint") != want.hint || len(e.Form) != 2 {
					t.Errorf("request %d is %v with the form %v", i+1, e, e.Form)
				}
			}
			if !sent[0].Granted {
				t.Error("the refresh token was not revoked")
			}
		})
	})
	basic := base64.StdEncoding.EncodeToString([]byte(testID + ":" + testSecret))
	for name, test := range map[string]struct {
		n       int // requests to which it happens
		do      testserver.Action
		want    error // ErrNotRevoked, or nil
		kind    transport.Kind
		after   time.Duration
		says    string
		came    int // requests in all
		unknown bool
	}{
		"unknown tokens":          {9, testserver.Respond(200, nil, ""), nil, 0, 0, "", 2, false},
		"a page":                  {9, testserver.HTML(200), nil, 0, 0, "", 2, false},
		"no content":              {9, testserver.Respond(204, nil, ""), nil, 0, 0, "", 2, false},
		"unavailable":             {9, testserver.Status(503, "Retry-After", "30"), ErrNotRevoked, transport.Transient, 30 * time.Second, "answered 503", 1, false},
		"too many requests":       {9, testserver.Status(429, "Retry-After", "5"), ErrNotRevoked, transport.Transient, 5 * time.Second, "answered 429", 1, false},
		"a wrong secret":          {9, testserver.OAuthError(401, "invalid_client", "no "+basic), ErrNotRevoked, transport.Misconfigured, 0, "ClientSecret", 1, false},
		"no such endpoint":        {9, testserver.Status(404), ErrNotRevoked, transport.Transient, 0, "URL of the revocation endpoint", 1, false},
		"a redirect":              {9, testserver.Redirect(307, "https://elsewhere.test/revoke"), ErrNotRevoked, transport.Transient, 0, "redirects are not followed", 1, false},
		"invalid_grant":           {9, testserver.OAuthError(400, "invalid_grant", ""), ErrNotRevoked, transport.Transient, 0, "invalid_grant", 1, false},
		"no such type of token":   {9, testserver.OAuthError(400, "unsupported_token_type", ""), ErrNotRevoked, transport.Transient, 0, "unsupported_token_type", 1, false},
		"the network":             {9, testserver.Drop(), ErrNotRevoked, transport.Transient, 0, "", 2, true},
		"the network, once":       {1, testserver.Drop(), nil, 0, 0, "", 3, false},
		"an answer lost, once":    {1, testserver.LoseAnswer(), nil, 0, 0, "", 3, false},
		"a server that hangs":     {9, testserver.Hang(), ErrNotRevoked, transport.Transient, 0, "", 1, true},
		"an endless answer":       {9, testserver.Endless(503), ErrNotRevoked, transport.Transient, 0, "answered 503", 1, false},
		"access tokens it cannot": {2, onlyAccess(testserver.OAuthError(400, "unsupported_token_type", "")), nil, 0, 0, "", 2, false},
		"access tokens it won't":  {2, onlyAccess(testserver.Status(503)), ErrNotRevoked, transport.Transient, 0, "answered 503", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				if _, err := f.session.Token(t.Context()); err != nil {
					t.Fatal(err)
				}
				f.Inject(testserver.OnRevoke, test.n, test.do)
				err := f.session.Logout(t.Context())
				if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
					t.Fatalf("Logout = %v", err)
				}
				re := new(transport.RefreshError)
				if errors.As(err, &re); err != nil && (re.Kind != test.kind || re.RetryAfter != test.after || re.OutcomeUnknown && !test.unknown) {
					t.Errorf("error %+v", re)
				}
				if err != nil && (!strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "still valid at the server")) {
					t.Errorf("error %v does not say %q", err, test.says)
				}
				if strings.Contains(shown(err), basic) || f.Log().TokenSeenBy("elsewhere.test") {
					t.Errorf("a secret is shown or went elsewhere: %v", err)
				}
				if n := len(f.revocations()); n != test.came {
					t.Errorf("%d requests, want %d", n, test.came)
				}
				f.wantLoggedOut(t)
			})
		})
	}
	t.Run("plain http", func(t *testing.T) {
		for _, url := range []string{"http://auth.test/revoke", "http://localhost/revoke", "auth.test/revoke", "https://u:p@auth.test/revoke", "https://auth.test/revoke#x"} {
			cfg := Config{ClientID: testID, RevocationURL: url}
			cfg.Endpoint.TokenURL = "https://auth.test/token"
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "RevocationURL") {
				t.Errorf("New with %s = %v", url, err)
			}
		}
	})
	t.Run("no endpoint", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.RevocationURL = "" })
		if err := f.session.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		f.wantLoggedOut(t)
	})
}

// onlyAccess does do to the revocation of an access token.
func onlyAccess(do testserver.Action) testserver.Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		if r.PostForm.Get("token_type_hint") == "access_token" {
			do(w, r, next)
			return
		}
		next(w, r)
	}
}

// wantLoggedOut checks that the session is over here, and for another process.
func (f *fixture) wantLoggedOut(t *testing.T) {
	t.Helper()
	rec := f.record(t)
	if !rec.Ended || !rec.RefreshToken.IsZero() || len(rec.Access) > 0 || !rec.IDToken.IsZero() || len(rec.Extra) > 0 || !rec.DPoPKey.IsZero() {
		t.Errorf("stored is %v", rec)
	}
	requests := f.Log().TokenRequests()
	cfg := *f.client.cfg
	cfg.ClientSecret = testSecret
	other, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Session{f.session, other.Session("alice")} {
		if _, err := s.Token(t.Context()); !errors.Is(err, ErrLoginRequired) {
			t.Errorf("Token = %v", err)
		}
		if st := s.Status(); st.State != transport.StateLoggedOut {
			t.Errorf("Status %+v", st)
		}
	}
	if n := f.Log().TokenRequests(); n != requests {
		t.Errorf("%d token requests after the logout", n-requests)
	}
}

func TestLogout_of_a_session_without_an_account(t *testing.T) {
	f := newFixture(t)
	if err := f.client.Session("").Logout(t.Context()); err != errNoAccount {
		t.Errorf("Logout = %v", err)
	}
}

// A session of the program itself has no refresh token: its access tokens are
// revoked.
func TestLogout_of_the_program_itself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Grant = ClientCredentials{} })
		s := f.client.Session("")
		tok, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		sent := f.revocations()
		if len(sent) != 1 || !slices.Contains(sent[0].Tokens, tok.Reveal()) {
			t.Errorf("revoked: %v", sent)
		}
		if _, err := s.Token(t.Context()); !errors.Is(err, ErrLoginRequired) {
			t.Errorf("Token = %v", err)
		}
		if err := s.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if again, err := s.Token(t.Context()); err != nil || again.Reveal() == tok.Reveal() {
			t.Errorf("Token after Forget = %v, %v", again, err)
		}
	})
}
