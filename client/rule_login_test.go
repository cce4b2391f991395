package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

// sent returns what the authorization endpoint got for the last login.
func (f *fixture) sent(t *testing.T, endpoint testserver.Endpoint) url.Values {
	t.Helper()
	all := f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == endpoint })
	if len(all) == 0 {
		t.Fatalf("nothing came to %s", endpoint)
	}
	return all[len(all)-1].Form
}

func TestRule089_every_login_has_a_fresh_PKCE_verifier(t *testing.T) {
	f := newLogins(t, plainURL)
	seen := make(map[string]bool)
	syntax := regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
	for range 100_000 {
		login := f.begin(t, &LoginOptions{Account: "alice"})
		verifier := login.p.Verifier
		if !syntax.MatchString(verifier) || seen[verifier] {
			t.Fatalf("verifier %q, seen before: %t", verifier, seen[verifier])
		}
		seen[verifier] = true
	}
	login := f.begin(t, &LoginOptions{Account: "alice"})
	u, _ := url.Parse(login.URL())
	if q := u.Query(); q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") != oauth2.S256ChallengeFromVerifier(login.p.Verifier) {
		t.Errorf("the request has %v", q)
	}
	back := f.back(t, login, alice)
	if _, err := f.client.FinishLogin(t.Context(), login, back); err != nil {
		t.Fatal(err)
	}
	if form := f.sent(t, testserver.Token); form.Get("code_verifier") != login.p.Verifier {
		t.Errorf("the code was exchanged with %v", form)
	}
	for value, ok := range map[string]bool{
		`["S256"]`: true, `["plain","S256"]`: true, `["plain"]`: false, `[]`: false, `["s256"]`: false, `null`: false, testserver.Omit: false,
	} {
		for _, unannounced := range []bool{false, true} {
			f := newLogins(t, func(c *Config) { c.Quirks.UnannouncedPKCE = unannounced })
			announces("code_challenge_methods_supported", value)(f, nil)
			login, err := f.client.BeginLogin(t.Context(), &LoginOptions{Account: "alice"})
			if (err == nil) != (ok || unannounced) {
				t.Errorf("announced %s, unannounced taken %t: %v", value, unannounced, err)
			}
			if err == nil && f.sent(t, testserver.Push).Get("code_challenge_method") != "S256" {
				t.Errorf("announced %s: no S256 in %v", value, login)
			}
		}
	}
}

func TestRule090_state_is_checked_before_anything_else(t *testing.T) {
	forged := func(login *Login, params url.Values) []url.Values {
		state := login.p.State
		with := func(name, value string) url.Values {
			v := cloneForm(params)
			v.Set(name, value)
			return v
		}
		none := cloneForm(params)
		none.Del("state")
		twice := cloneForm(params)
		twice["state"] = []string{state, state}
		return []url.Values{
			none, twice, with("state", ""), with("state", state[1:]), with("state", state+"x"), with("state", strings.ToUpper(state)),
			{"error": {"access_denied"}}, {"error": {"access_denied"}, "state": {"x"}}, {"code": {"code-forged"}}, {"code": {"code-forged"}, "state": {"x"}}, {},
		}
	}
	t.Run("back end", func(t *testing.T) {
		f := newLogins(t)
		login := f.begin(t, &LoginOptions{Account: "alice"})
		if other := f.begin(t, &LoginOptions{Account: "alice"}); len(login.p.State) < 43 || other.p.State == login.p.State {
			t.Errorf("states %q and %q", login.p.State, other.p.State)
		}
		params := f.back(t, login, alice)
		for _, v := range forged(login, params) {
			if s, err := f.client.FinishLogin(t.Context(), login, v); !errors.Is(err, ErrCallback) || s != nil {
				t.Errorf("%v: %v", v, err)
			}
		}
		if n := f.Log().TokenRequests(); n != 0 {
			t.Errorf("%d token requests for forged answers", n)
		}
		if _, err := f.client.FinishLogin(t.Context(), login, params); err != nil {
			t.Errorf("after forged answers the right one: %v", err)
		}
		if _, err := f.client.FinishLogin(t.Context(), login, params); !errors.Is(err, ErrLoginUsed) || f.Log().TokenRequests() != 1 {
			t.Errorf("the same answer again: %v, %d token requests", err, f.Log().TokenRequests())
		}
		f.wantCall(t, f.session, "alice")
	})
	t.Run("on this machine", func(t *testing.T) {
		f := newLogins(t, backHere, func(c *Config) { c.PushedURL = "" })
		announces("pushed_authorization_request_endpoint", testserver.Omit)(f, nil)
		err := f.session.Login(t.Context(), &LoginOptions{Open: func(ctx context.Context, authURL string) error {
			redirect := redirectOf(t, authURL)
			for _, v := range forged(&Login{&pending{State: stateOf(t, authURL)}}, url.Values{"code": {"x"}}) {
				resp, err := http.Get(redirect + "?" + v.Encode())
				if err != nil {
					return err
				}
				resp.Body.Close()
				if !strings.HasSuffix(resp.Request.URL.Path, string(endedBadly)) {
					t.Errorf("%v: led to %s", v, resp.Request.URL)
				}
			}
			return f.Visit(ctx, alice, authURL)
		}})
		if err != nil || f.Log().TokenRequests() != 1 {
			t.Errorf("%v, %d token requests", err, f.Log().TokenRequests())
		}
	})
}

func stateOf(t *testing.T, authURL string) string {
	t.Helper()
	u, err := url.Parse(authURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("state")
}

func TestRule091_an_answer_is_taken_from_the_server_that_was_asked(t *testing.T) {
	for _, test := range []struct {
		announced, iss string
		ok             bool
	}{
		{"true", "", true},
		{"true", testserver.Omit, false},
		{"false", testserver.Omit, true},
		{testserver.Omit, testserver.Omit, true},
		{"false", "https://evil.test", false},
		{"true", "https://evil.test", false},
		{"true", "https://auth.test/", false},
		{"true", "https://AUTH.test", false},
		{"true", "https://auth.test:443", false},
	} {
		f := newLogins(t)
		announces("authorization_response_iss_parameter_supported", test.announced)(f, nil)
		f.UpdatePolicy(func(p *testserver.Policy) { p.Iss = test.iss })
		login := f.begin(t, &LoginOptions{Account: "alice"})
		_, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice))
		if (err == nil) != test.ok || !test.ok && (!errors.Is(err, ErrCallback) || f.Log().TokenRequests() != 0) {
			t.Errorf("announced %s, iss %q: %v, %d token requests", test.announced, test.iss, err, f.Log().TokenRequests())
		}
	}
	t.Run("mix-up", testMixUp)
	t.Run("changed on the way", func(t *testing.T) {
		f := newLogins(t)
		login := f.begin(t, &LoginOptions{Account: "alice"})
		params := f.back(t, login, alice)
		changed := newLogins(t, func(c *Config) {
			c.Endpoint.TokenURL = "https://evil.test/token"
			c.Base, c.TokenClient = f.Transport(), f.Client()
		})
		if _, err := changed.client.FinishLogin(t.Context(), login, params); err == nil || !strings.Contains(err.Error(), "begin it again") {
			t.Errorf("after a restart with another token endpoint: %v", err)
		}
		if f.Log().TokenRequests() != 0 || len(f.Log().Select(func(e testserver.Entry) bool { return e.Host == "evil.test" })) != 0 {
			t.Error("the code went somewhere")
		}
	})
}

// An attacker's server sends the user on to an honest one, whose answer comes back to the
// login that was begun at the attacker's (RFC 9700 §4.4.1). The code is the honest
// server's, and must not go to the attacker.
func testMixUp(t *testing.T) {
	honest, evil := newLogins(t), newLogins(t, func(c *Config) {
		c.Issuer = "https://evil.test"
		doc := `{"issuer":"https://evil.test","authorization_endpoint":"https://evil.test/authorize","token_endpoint":"https://evil.test/token","code_challenge_methods_supported":["S256"]}`
		c.TokenClient = &http.Client{Transport: site{"https://evil.test/.well-known/oauth-authorization-server": doc}}
	})
	login := evil.begin(t, &LoginOptions{Account: "alice"})
	sent, _ := url.Parse(login.URL())
	params, err := honest.Callback(t.Context(), alice, honest.AuthURL()+"?"+sent.RawQuery)
	if err != nil || params.Get("code") == "" {
		t.Fatal(params, err)
	}
	asked := &asked{site: site{}}
	evil.client.endpoint.base = asked
	if _, err := evil.client.FinishLogin(t.Context(), login, params); !errors.Is(err, ErrCallback) {
		t.Errorf("error %v", err)
	}
	if len(asked.urls) != 0 {
		t.Errorf("the attacker was asked: %v", asked.urls)
	}
}

func TestRule096_a_code_is_exchanged_once_and_shown_nowhere(t *testing.T) {
	f := newLogins(t)
	login := f.begin(t, &LoginOptions{Account: "alice"})
	if _, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice)); err != nil {
		t.Fatal(err)
	}
	form := f.sent(t, testserver.Token)
	if form.Get("redirect_uri") != "https://app.example.com/callback" || form.Get("code_verifier") != login.p.Verifier || form.Get("grant_type") != "authorization_code" {
		t.Errorf("sent %v", form)
	}
	for name, fault := range map[string]testserver.Action{
		"refused":   echoing(400, "invalid_grant"),
		"client":    echoing(401, "invalid_client"),
		"out":       echoing(503, "temporarily_unavailable"),
		"lost":      testserver.LoseAnswer(),
		"truncated": testserver.Truncate(),
		"dropped":   testserver.Drop(),
	} {
		t.Run(name, func(t *testing.T) {
			f := newLogins(t)
			login := f.begin(t, &LoginOptions{Account: "alice"})
			params := f.back(t, login, alice)
			f.Inject(testserver.OnCode, testserver.Always, fault)
			_, err := f.client.FinishLogin(t.Context(), login, params)
			var re *transport.RefreshError
			if !errors.As(err, &re) {
				t.Errorf("error %v, want a RefreshError", err)
			}
			if n := f.Log().TokenRequests(); n != 1 {
				t.Errorf("the code was sent %d times", n)
			}
			for _, secret := range []string{params.Get("code"), login.p.Verifier, login.p.State, testSecret} {
				if strings.Contains(shown(err), secret) {
					t.Errorf("a secret is shown: %v", err)
				}
			}
		})
	}
	t.Run("access_denied", func(t *testing.T) {
		f := newLogins(t)
		login := f.begin(t, &LoginOptions{Account: "alice"})
		_, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, testserver.Person{Account: "alice", Denies: true}))
		var se *ServerError
		if !errors.Is(err, ErrAccessDenied) || !errors.As(err, &se) || se.Code != "access_denied" || strings.Contains(shown(err), login.p.State) {
			t.Errorf("error %v", err)
		}
	})
}

// echoing answers with an error that quotes all that came.
func echoing(status int, code string) testserver.Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		testserver.OAuthError(status, code, fmt.Sprint(r.PostForm, r.Header))(w, r, next)
	}
}

func TestRule099_pushed_requests_show_nothing_and_fail_closed(t *testing.T) {
	f := newLogins(t)
	f.UpdatePolicy(func(p *testserver.Policy) { p.RequirePush, p.IDToken = true, true })
	login := f.begin(t, &LoginOptions{Account: "alice", Params: url.Values{"prompt": {"consent"}}, Nonce: true})
	u, _ := url.Parse(login.URL())
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range u.Query() {
			if !yield(name) {
				return
			}
		}
	})
	if !slices.Equal(names, []string{"client_id", "request_uri"}) {
		t.Errorf("the URL has %v", names)
	}
	form := f.sent(t, testserver.Push)
	if form.Get("prompt") != "consent" || form.Get("nonce") != login.p.Nonce || form.Get("state") != login.p.State || form.Get("code_challenge") == "" {
		t.Errorf("pushed %v", form)
	}
	if other := f.begin(t, &LoginOptions{Account: "alice"}); other.URL() == login.URL() {
		t.Error("a request_uri is used twice")
	}
	if _, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice)); err != nil {
		t.Error(err)
	}
	for _, required := range []bool{true, false} {
		for name, fault := range map[string]testserver.Action{
			"400":         testserver.OAuthError(400, "invalid_request", "no"),
			"401":         testserver.OAuthError(401, "invalid_client", "no"),
			"500":         testserver.Status(500),
			"200":         testserver.Respond(200, http.Header{"Content-Type": {"application/json"}}, `{"request_uri":"urn:x","expires_in":60}`),
			"no URI":      testserver.Respond(201, http.Header{"Content-Type": {"application/json"}}, `{"expires_in":60}`),
			"HTML":        testserver.HTML(201),
			"redirect":    testserver.Redirect(307, "https://evil.test/par"),
			"nothing":     testserver.Drop(),
			"an error in": testserver.Respond(201, http.Header{"Content-Type": {"application/json"}}, `{"error":"x","request_uri":5}`),
		} {
			f := newLogins(t)
			f.UpdatePolicy(func(p *testserver.Policy) { p.RequirePush = required })
			f.Inject(testserver.OnPush, testserver.Always, fault)
			login, err := f.client.BeginLogin(t.Context(), &LoginOptions{Account: "alice"})
			if err == nil || login != nil {
				t.Errorf("%s, required %t: a login goes on with %v", name, required, login)
			}
		}
	}
	f = newLogins(t)
	f.UpdatePolicy(func(p *testserver.Policy) { p.RequirePush = true })
	f.UpdatePolicy(func(p *testserver.Policy) {
		p.Metadata = map[string]string{"pushed_authorization_request_endpoint": testserver.Omit}
	})
	if _, err := f.client.BeginLogin(t.Context(), &LoginOptions{Account: "alice"}); err == nil || !strings.Contains(err.Error(), "PushedURL") {
		t.Errorf("demanded, and no endpoint: %v", err)
	}
}
