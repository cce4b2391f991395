package testserver_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

func TestBeginSession(t *testing.T) {
	srv, c := newServer(t)
	srv.SetPolicy(testserver.Policy{IDToken: true, AccessLifetime: time.Minute})
	tokens := srv.BeginSession("alice", "read", "admin")
	if tokens.AccessToken == "" || tokens.RefreshToken == "" || tokens.IDToken == "" {
		t.Fatalf("a token is missing: %v", tokens)
	}
	want(t, "scope", tokens.Scope, "read admin")
	want(t, "expires in", tokens.ExpiresIn, time.Minute)
	want(t, "token type", tokens.TokenType, "Bearer")
	r := get(t, c, srv.APIURL("/me"), tokens.AccessToken)
	want(t, "account", r.text("account"), "alice")
	want(t, "default scope", srv.BeginSession("bob").Scope, "read write")
}

func TestRefreshRotates(t *testing.T) {
	srv, c := newServer(t)
	first := srv.BeginSession("alice")
	r := refresh(t, srv, c, first.RefreshToken)
	wantStatus(t, r, 200)
	want(t, "expires_in", r.members["expires_in"], any(3600.0))
	want(t, "token_type", r.text("token_type"), "Bearer")
	want(t, "scope", r.text("scope"), "read write")
	want(t, "Cache-Control", r.header.Get("Cache-Control"), "no-store")
	next := r.text("refresh_token")
	if next == "" || next == first.RefreshToken {
		t.Fatal("the refresh token was not rotated")
	}
	wantStatus(t, get(t, c, srv.APIURL("/"), r.text("access_token")), 200)
	wantStatus(t, get(t, c, srv.APIURL("/"), first.AccessToken), 200)
	wantStatus(t, refresh(t, srv, c, next), 200)
	want(t, "refreshes", srv.Log().Refreshes(), 2)
	want(t, "reused", srv.Log().Reused(), 0)
}

func TestReuseRevokesFamily(t *testing.T) {
	srv, c := newServer(t)
	first := srv.BeginSession("alice")
	other := srv.BeginSession("alice")
	second := refresh(t, srv, c, first.RefreshToken)
	wantError(t, refresh(t, srv, c, first.RefreshToken), 400, "invalid_grant")
	wantError(t, refresh(t, srv, c, second.text("refresh_token")), 400, "invalid_grant")
	wantStatus(t, get(t, c, srv.APIURL("/"), second.text("access_token")), 401)
	wantStatus(t, refresh(t, srv, c, other.RefreshToken), 200)
	want(t, "reused", srv.Log().Reused(), 1)
	want(t, "presented", srv.Log().Presented(first.RefreshToken), 2)
	entries := srv.Log().Entries()
	want(t, "reuse of the first", entries[0].Reuse, false)
	want(t, "reuse of the second", entries[1].Reuse, true)
}

func TestReuseRefused(t *testing.T) {
	srv, c := newServer(t)
	srv.SetPolicy(testserver.Policy{Reuse: testserver.RefuseReuse})
	first := srv.BeginSession("alice")
	second := refresh(t, srv, c, first.RefreshToken)
	wantError(t, refresh(t, srv, c, first.RefreshToken), 400, "invalid_grant")
	wantStatus(t, refresh(t, srv, c, second.text("refresh_token")), 200)
}

func TestKeepRefreshToken(t *testing.T) {
	for _, tc := range []struct {
		rotation testserver.Rotation
		member   any
		there    bool
	}{
		{testserver.KeepRepeated, "same", true},
		{testserver.KeepOmitted, nil, false},
		{testserver.KeepEmpty, "", true},
		{testserver.KeepNull, nil, true},
	} {
		srv, c := newServer(t)
		srv.SetPolicy(testserver.Policy{Rotation: tc.rotation})
		first := srv.BeginSession("alice")
		if tc.member == "same" {
			tc.member = first.RefreshToken
		}
		for range 2 {
			r := refresh(t, srv, c, first.RefreshToken)
			wantStatus(t, r, 200)
			got, there := r.members["refresh_token"]
			if got != tc.member || there != tc.there {
				t.Errorf("rotation %d: refresh_token %v (there: %t)", tc.rotation, got, there)
			}
		}
		want(t, "reused", srv.Log().Reused(), 0)
	}
}

func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		srv.SetPolicy(testserver.Policy{Grace: 10 * time.Second})
		first := srv.BeginSession("alice").RefreshToken
		second := refresh(t, srv, c, first).text("refresh_token")
		time.Sleep(9 * time.Second)
		again := refresh(t, srv, c, first)
		want(t, "successor", again.text("refresh_token"), second)
		want(t, "reused", srv.Log().Reused(), 1)
		refresh(t, srv, c, second)
		wantError(t, refresh(t, srv, c, first), 400, "invalid_grant") // not the last but one

		first = srv.BeginSession("alice").RefreshToken
		refresh(t, srv, c, first)
		time.Sleep(10 * time.Second)
		wantError(t, refresh(t, srv, c, first), 400, "invalid_grant") // too late
	})
}

func TestGraceNewSuccessor(t *testing.T) {
	srv, c := newServer(t)
	srv.SetPolicy(testserver.Policy{Grace: time.Minute, GraceNew: true})
	first := srv.BeginSession("alice").RefreshToken
	a := refresh(t, srv, c, first).text("refresh_token")
	b := refresh(t, srv, c, first).text("refresh_token")
	if a == b {
		t.Fatal("the successor was repeated")
	}
	wantStatus(t, refresh(t, srv, c, a), 200)
	wantStatus(t, refresh(t, srv, c, b), 200)
}

func TestKillOldAccess(t *testing.T) {
	srv, c := newServer(t)
	srv.SetPolicy(testserver.Policy{KillOldAccess: true})
	first, other := srv.BeginSession("alice"), srv.BeginSession("alice")
	r := refresh(t, srv, c, first.RefreshToken)
	wantStatus(t, get(t, c, srv.APIURL("/"), first.AccessToken), 401)
	wantStatus(t, get(t, c, srv.APIURL("/"), r.text("access_token")), 200)
	wantStatus(t, get(t, c, srv.APIURL("/"), other.AccessToken), 200)
	refresh(t, srv, c, r.text("refresh_token"))
	wantStatus(t, get(t, c, srv.APIURL("/"), r.text("access_token")), 401)
}

func TestLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		srv.SetPolicy(testserver.Policy{AccessLifetime: 5 * time.Second, RefreshLifetime: time.Minute})
		tokens := srv.BeginSession("alice")
		time.Sleep(5*time.Second - time.Nanosecond)
		wantStatus(t, get(t, c, srv.APIURL("/"), tokens.AccessToken), 200)
		time.Sleep(time.Nanosecond)
		wantStatus(t, get(t, c, srv.APIURL("/"), tokens.AccessToken), 401)
		time.Sleep(55 * time.Second)
		wantError(t, refresh(t, srv, c, tokens.RefreshToken), 400, "invalid_grant")
	})
}

func TestClockSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		srv.SetPolicy(testserver.Policy{ClockSkew: -5 * time.Minute, ExpiresAt: true, AccessLifetime: time.Minute})
		r := refresh(t, srv, c, srv.BeginSession("alice").RefreshToken)
		want(t, "expires_at", int64(r.members["expires_at"].(float64)), time.Now().Add(-4*time.Minute).Unix())
		want(t, "Date", r.header.Get("Date"), time.Now().Add(-5*time.Minute).UTC().Format(http.TimeFormat))
		wantStatus(t, get(t, c, srv.APIURL("/"), r.text("access_token")), 200)
		srv.UpdatePolicy(func(p *testserver.Policy) { p.ClockSkew = 0 })
		wantStatus(t, get(t, c, srv.APIURL("/"), r.text("access_token")), 401)
	})
}

func TestRefreshScope(t *testing.T) {
	srv, c := newServer(t)
	rt := srv.BeginSession("alice", "read", "write").RefreshToken
	form := refreshForm(rt)
	form.Set("scope", "read")
	r, err := send(c, tokenRequest(srv, form))
	r = must(t, r, err)
	want(t, "scope", r.text("scope"), "read")
	form = refreshForm(r.text("refresh_token"))
	form.Set("scope", "read admin")
	r, err = send(c, tokenRequest(srv, form))
	wantError(t, must(t, r, err), 400, "invalid_scope")
	form.Del("scope")
	r, err = send(c, tokenRequest(srv, form))
	want(t, "scope of the session", must(t, r, err).text("scope"), "read write")
}

func TestClientCredentials(t *testing.T) {
	srv, c := newServer(t)
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"jobs"}}
	req := tokenRequest(srv, form)
	req.SetBasicAuth("worker", "s")
	r, err := send(c, req)
	r = must(t, r, err)
	wantStatus(t, r, 200)
	want(t, "scope", r.text("scope"), "jobs")
	if _, there := r.members["refresh_token"]; there {
		t.Error("there is a refresh token")
	}
	want(t, "account", get(t, c, srv.APIURL("/"), r.text("access_token")).text("account"), "worker")
	want(t, "grants", srv.Log().Grants("client_credentials"), 1)
	want(t, "refreshes", srv.Log().Refreshes(), 0)
}

func TestClientAuth(t *testing.T) {
	basic := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	}
	const id, secret = "a p:p", "s%+&"
	encoded := basic(url.QueryEscape(id), url.QueryEscape(secret))
	post := url.Values{"client_id": {id}, "client_secret": {secret}}
	for _, tc := range []struct {
		name   string
		policy testserver.Policy
		header string
		form   url.Values
		status int
	}{
		{"basic", testserver.Policy{ClientAuth: testserver.AuthBasic}, encoded, nil, 200},
		{"basic not encoded", testserver.Policy{}, basic(id, secret), nil, 401},
		{"raw basic", testserver.Policy{RawBasic: true}, basic("app", secret), nil, 200},
		{"encoded for raw", testserver.Policy{RawBasic: true}, basic("app", url.QueryEscape(secret)), nil, 401},
		{"post", testserver.Policy{ClientAuth: testserver.AuthPost}, "", post, 200},
		{"post for basic", testserver.Policy{ClientAuth: testserver.AuthBasic}, "", post, 401},
		{"basic for post", testserver.Policy{ClientAuth: testserver.AuthPost}, encoded, nil, 401},
		{"public", testserver.Policy{ClientAuth: testserver.AuthNone}, "", url.Values{"client_id": {"cli"}}, 200},
		{"public for basic", testserver.Policy{ClientAuth: testserver.AuthBasic}, "", url.Values{"client_id": {"cli"}}, 401},
		{"no secret", testserver.Policy{}, "", url.Values{"client_id": {id}}, 401},
		{"unknown", testserver.Policy{}, basic("who", secret), nil, 401},
		{"both", testserver.Policy{}, encoded, post, 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv, c := newServer(t)
			tc.policy.Clients = map[string]string{id: secret, "app": secret, "cli": ""}
			srv.SetPolicy(tc.policy)
			form := refreshForm(srv.BeginSession("alice").RefreshToken)
			form.Del("client_id")
			for name, values := range tc.form {
				form[name] = values
			}
			req := tokenRequest(srv, form)
			if tc.header != "" {
				req.Header.Set("Authorization", tc.header)
			}
			r, err := send(c, req)
			wantStatus(t, must(t, r, err), tc.status)
			rejected := 0
			if tc.status != 200 {
				rejected = 1
			}
			want(t, "rejected", srv.Log().ClientsRejected(), rejected)
			want(t, "attempts", srv.Log().ClientAuths(srv.Log().Entries()[0].ClientAuth), 1)
		})
	}
}
