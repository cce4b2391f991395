package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

const (
	apiA = "https://api.test"
	apiB = "https://b.test"
)

// twoAPIs is a session that was granted for two APIs.
func twoAPIs(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	f := newLogins(t, append([]func(*Config){func(c *Config) { c.Resources = []string{apiA, apiB} }}, change...)...)
	login := f.begin(t, &LoginOptions{Account: "alice"})
	if _, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice)); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRule109_resources_are_asked_for_and_tokens_stay_with_theirs(t *testing.T) {
	t.Run("syntax", func(t *testing.T) {
		for resource, ok := range map[string]bool{
			"https://api.example.com": true, "https://api.example.com/a?b=c": true, "urn:example:api": true, "api://guid": true,
			"https://api.example.com#f": false, "https://api.example.com#": false, "/path": false, "api.example.com": false, "": false, "https://": false, "https://u@api.example.com": false,
		} {
			err := goodConfig(func(c *Config) { c.Resources = []string{resource} }).check()
			_, viewErr := newLogins(t).session.For(Target{Resources: []string{resource}}).Token(t.Context())
			if (err == nil) != ok || strings.Contains(viewErr.Error(), "Resources[0]") == ok {
				t.Errorf("%q: %v; %v", resource, err, viewErr)
			}
		}
		for _, target := range []Target{{}, {Scopes: []string{"a b"}}, {Origins: []string{apiA}}, {Scopes: []string{"a"}, Origins: []string{"https://a.test/path"}}} {
			if _, err := newLogins(t).session.For(target).Token(t.Context()); err == nil || !strings.Contains(err.Error(), "For: ") {
				t.Errorf("%+v: %v", target, err)
			}
		}
	})
	t.Run("wire", testResourcesOnTheWire)
	t.Run("tokens", testTokensStay)
	t.Run("once", testTargetsOneAfterTheOther)
	t.Run("refused", testTargetRefused)
}

func testResourcesOnTheWire(t *testing.T) {
	f := twoAPIs(t)
	both := []string{apiA, apiB}
	if got := f.sent(t, testserver.Push)["resource"]; !slices.Equal(got, both) {
		t.Errorf("the authorization request has %v", got)
	}
	if got := f.sent(t, testserver.Token)["resource"]; !slices.Equal(got, both) {
		t.Errorf("the token request has %v", got)
	}
	f.RevokeAllAccess()
	f.wantCall(t, f.session, "alice")
	if got := f.sent(t, testserver.Token)["resource"]; !slices.Equal(got, both) {
		t.Errorf("the refresh has %v", got)
	}
	if _, err := f.session.For(Target{Resources: []string{apiB}}).Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if form := f.sent(t, testserver.Token); !slices.Equal(form["resource"], []string{apiB}) || form.Has("scope") {
		t.Errorf("the refresh for one has %v", form)
	}
	tok, err := f.session.For(Target{Scopes: []string{"write", "read"}, Origins: []string{apiA}}).Token(t.Context()) // write was not granted
	if err != nil || tok.Scope() != "read" {
		t.Fatal(tok.Scope(), err)
	}
	if form := f.sent(t, testserver.Token); form.Get("scope") != "read" || form.Has("resource") {
		t.Errorf("the refresh for a scope has %v", form)
	}
}

// Each view has a token of its own, kept in the record, and sent to its own origin alone.
func testTokensStay(t *testing.T) {
	f := twoAPIs(t)
	a, b := f.session.For(Target{Resources: []string{apiA}}), f.session.For(Target{Resources: []string{apiB}})
	if a.Account() != "alice" || f.session.For(Target{Resources: []string{apiA}}).target != a.target || a.target == b.target {
		t.Errorf("views of %q: %q, %q", a.Account(), a.target, b.target)
	}
	one := f.session.HTTPClient() // of the session itself, and in use for views as well
	for _, test := range []struct {
		hc      *http.Client
		ctx     context.Context
		api     string
		status  int
		carries *Session // whose token, or nil
	}{
		{a.HTTPClient(), t.Context(), apiA, 200, a},
		{b.HTTPClient(), t.Context(), apiB, 200, b},
		{a.HTTPClient(), t.Context(), apiB, 401, nil},
		{b.HTTPClient(), t.Context(), apiA, 401, nil},
		{one, WithSession(t.Context(), b), apiB, 200, b},
		{one, WithSession(t.Context(), b), apiA, 401, nil},
		{one, t.Context(), apiA, 200, f.session},
		{b.Wrap(f.Client()), t.Context(), apiB, 200, b},
		{b.Wrap(f.Client()), t.Context(), apiA, 401, nil},
	} {
		req, _ := http.NewRequestWithContext(test.ctx, "GET", test.api+"/", nil)
		resp, err := test.hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		all := f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.API })
		var want transport.Token
		if test.carries != nil {
			want, _ = test.carries.Token(t.Context())
		}
		if got := all[len(all)-1].AccessToken; got != want.Reveal() || resp.StatusCode != test.status {
			t.Errorf("%s: %d with token %q, want %d with %q", test.api, resp.StatusCode, got, test.status, want.Reveal())
		}
	}
	rec := f.record(t)
	if len(rec.Access) != 3 {
		t.Errorf("%d tokens are kept, want that of the session and two", len(rec.Access))
	}
	tokA, _ := a.Token(t.Context())
	if _, err := b.Refresh(t.Context(), tokA); !errors.Is(err, errOtherTarget) {
		t.Errorf("a token of A at the view of B: %v", err)
	}
	if next, err := a.Refresh(t.Context(), tokA); err != nil || next.Reveal() == tokA.Reveal() || next.Target() != a.target {
		t.Errorf("Refresh: %v, %v", next, err)
	}
	n := f.Log().TokenRequests()
	again := reopened(t, f).For(Target{Resources: []string{apiA}})
	if _, err := again.Token(t.Context()); err != nil || f.Log().TokenRequests() != n {
		t.Errorf("after a restart: %v, %d token requests", err, f.Log().TokenRequests()-n)
	}
	if err := b.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Token(t.Context()); !errors.Is(err, ErrLoginRequired) {
		t.Errorf("after the logout of a view: %v", err)
	}
}

// reopened returns the session as another process would have it.
func reopened(t *testing.T, f *fixture) *Session {
	t.Helper()
	cfg := *f.client.cfg
	cfg.ClientSecret = testSecret
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c.Session(f.session.account)
}

// The refresh token is spent by one view after the other, never twice.
func testTargetsOneAfterTheOther(t *testing.T) {
	f := twoAPIs(t)
	f.UpdatePolicy(func(p *testserver.Policy) { p.TokenLatency = 5 * time.Millisecond })
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			s := f.session.For(Target{Resources: [][]string{{apiA}, {apiB}}[i%2]})
			if i%4 == 3 {
				s = f.session.For(Target{Scopes: []string{"read"}})
			}
			if _, err := s.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := f.Log().Refreshes(); n != 3 || f.Log().Reused() != 0 {
		t.Errorf("%d refreshes for three targets, %d tokens used twice", n, f.Log().Reused())
	}
}

// A target that the server refuses is that target's trouble.
func testTargetRefused(t *testing.T) {
	f := twoAPIs(t)
	if _, err := f.session.For(Target{Resources: []string{"https://c.test"}}).Token(t.Context()); err == nil || !strings.Contains(err.Error(), "not one of Config.Resources") || f.Log().TokenRequests() != 1 {
		t.Errorf("a resource for which nobody signed in: %v, %d token requests", err, f.Log().TokenRequests())
	}
	wrong := f.session.For(Target{Resources: []string{apiA}})
	f.Inject(testserver.OnRefresh, 1, testserver.OAuthError(400, "invalid_target", ""))
	for range 2 {
		_, err := wrong.Token(t.Context())
		wantKind(t, err, transport.Misconfigured, "invalid_target")
	}
	if n := f.Log().TokenRequests(); n != 2 { // the login's, and one
		t.Errorf("%d token requests", n)
	}
	f.RevokeAllAccess()
	f.wantCall(t, f.session, "alice")
	if _, err := f.session.For(Target{Resources: []string{apiB}}).Token(t.Context()); err != nil {
		t.Errorf("another target: %v", err)
	}
	if st := f.session.Status(); st.Err != nil {
		t.Errorf("the session's status: %v", st.Err)
	}
}

func TestRule010_URLs_in_answers_get_no_credentials(t *testing.T) {
	const evil = "https://evil.test/"
	secrets := func(f *fixture, more ...string) []string {
		list := append(more, testSecret)
		for _, e := range f.Log().Entries() {
			list = append(list, e.NewAccessToken, e.NewRefreshToken, e.Form.Get("code"), e.Form.Get("code_verifier"))
		}
		return slices.DeleteFunc(list, func(s string) bool { return s == "" })
	}
	f := newLogins(t)
	f.UpdatePolicy(func(p *testserver.Policy) {
		p.Members = map[string]string{"token_endpoint": `"` + evil + `"`, "error_uri": `"` + evil + `"`, "authorization_server": `"` + evil + `"`, "api_domain": `"` + evil + `"`, "instance_url": `"` + evil + `"`}
	})
	login := f.begin(t, &LoginOptions{Account: "alice"})
	params := f.back(t, login, alice)
	for _, name := range []string{"token_endpoint", "error_uri", "iss_hint", "location", "accounts-server", "resource_metadata"} {
		params.Set(name, evil) // accounts-server is what a vendor of old sent
	}
	if _, err := f.client.FinishLogin(t.Context(), login, params); err != nil {
		t.Fatal(err)
	}
	challenges := []string{
		`Bearer realm="` + evil + `", service="evil.test", scope="read"`,
		`Bearer error="invalid_token", resource_metadata="` + evil + `.well-known/oauth-protected-resource"`,
		`Bearer authorization_uri="` + evil + `", resource_id="` + evil + `", error="invalid_token"`,
		`Bearer as_uri="` + evil + `", error_uri="` + evil + `"`,
	}
	for _, challenge := range challenges {
		f.Inject(testserver.OnAPI, 1, func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			w.Header().Set("Location", evil)
			w.Header().Set("Link", "<"+evil+`>; rel="oauth2-token"`)
			testserver.Unauthorized(challenge)(w, r, next)
		})
		resp, err := f.session.HTTPClient().Get(f.APIURL("/"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if n := f.Log().Refreshes(); n == 0 {
		t.Error("no challenge led to a refresh")
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		f.Inject(testserver.OnToken, 1, testserver.Redirect(status, evil))
		f.RevokeAllAccess()
		if resp, err := f.session.HTTPClient().Get(f.APIURL("/")); err == nil {
			resp.Body.Close()
		}
		wantNothingAt(t, f, "evil.test", secrets(f))
		f.client.Close(t.Context())
		f = twoAPIs(t)
	}
	for _, endpoint := range []testserver.Match{testserver.OnRevoke, testserver.OnPush, testserver.OnDevice, testserver.OnMetadata, testserver.OnCode, testserver.OnPoll} {
		f := newLogins(t)
		f.Inject(endpoint, testserver.Always, testserver.Redirect(307, evil))
		if login, err := f.client.BeginLogin(t.Context(), &LoginOptions{Account: "alice"}); err == nil {
			f.client.FinishLogin(t.Context(), login, f.back(t, login, alice))
		}
		f.session.Logout(t.Context())
		f.session.LoginDevice(t.Context(), func(_ context.Context, p DevicePrompt) error { return errors.New("enough") })
		wantNothingAt(t, f, "evil.test", secrets(f))
	}
	wantNothingAt(t, f, "evil.test", secrets(f))
}

// wantNothingAt checks that no secret came to host, nor any request of the client's.
func wantNothingAt(t *testing.T, f *fixture, host string, secrets []string) {
	t.Helper()
	for _, e := range f.Log().Select(func(e testserver.Entry) bool { return e.Host == host }) {
		u, _ := url.QueryUnescape(e.Query)
		for _, s := range secrets {
			if strings.Contains(u, s) || strings.Contains(e.Header.Get("Authorization"), s) || strings.Contains(e.Form.Encode(), s) {
				t.Errorf("a secret came to %s: %v", host, e)
			}
		}
		t.Errorf("a request came to %s: %v", host, e)
	}
	if f.Log().TokenSeenBy(host) {
		t.Errorf("a token came to %s", host)
	}
}
