package testserver_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/internal/testserver"
)

func TestEcho(t *testing.T) {
	srv, c := newServer(t)
	tokens := srv.BeginSession("alice")
	body := strings.Repeat("b", 100_000)
	r, err := send(c, apiRequest("PATCH", srv.APIURL("/a/b?c=d"), tokens.AccessToken, strings.NewReader(body)))
	r = must(t, r, err)
	sum := sha256.Sum256([]byte(body))
	for member, value := range map[string]any{
		"method": "PATCH", "host": "api.test", "path": "/a/b", "query": "c=d", "account": "alice",
		"scope": "read write", "body_length": 100_000.0, "body_sha256": hex.EncodeToString(sum[:]),
	} {
		want(t, member, r.members[member], value)
	}
}

func TestUnauthorized(t *testing.T) {
	srv, c := newServer(t)
	revoked, expired := srv.BeginSession("alice"), srv.BeginSession("alice")
	want(t, "known", srv.RevokeAccessToken(revoked.AccessToken), true)
	want(t, "known", srv.RevokeAccessToken("at-who"), false)
	wantStatus(t, get(t, c, srv.APIURL("/"), expired.AccessToken), 200)
	srv.ExpireAccess()
	for token, challenge := range map[string]string{
		"":                   `Bearer realm="api"`,
		"at-who":             `Bearer realm="api", error="invalid_token", error_description="the access token is unknown"`,
		revoked.AccessToken:  `Bearer realm="api", error="invalid_token", error_description="the access token was revoked"`,
		expired.AccessToken:  `Bearer realm="api", error="invalid_token", error_description="the access token expired"`,
		revoked.RefreshToken: `Bearer realm="api", error="invalid_token", error_description="the access token is unknown"`,
	} {
		r := get(t, c, srv.APIURL("/"), token)
		wantStatus(t, r, 401)
		want(t, "challenge", r.header.Get("WWW-Authenticate"), challenge)
	}
	want(t, "unauthorized", srv.Log().Unauthorized(), 5)
	fresh := srv.BeginSession("alice")
	wantStatus(t, get(t, c, srv.APIURL("/"), fresh.AccessToken), 200)
	srv.RevokeAllAccess()
	wantStatus(t, get(t, c, srv.APIURL("/"), fresh.AccessToken), 401)
	wantStatus(t, refresh(t, srv, c, fresh.RefreshToken), 200)
}

func TestRevokeSession(t *testing.T) {
	srv, c := newServer(t)
	alice, bob := srv.BeginSession("alice"), srv.BeginSession("bob")
	srv.RevokeSession("alice")
	wantError(t, refresh(t, srv, c, alice.RefreshToken), 400, "invalid_grant")
	wantStatus(t, refresh(t, srv, c, bob.RefreshToken), 200)
	wantStatus(t, get(t, c, srv.APIURL("/"), alice.AccessToken), 200)
	wantStatus(t, refresh(t, srv, c, srv.BeginSession("alice").RefreshToken), 200)
}

func TestEarlyReject(t *testing.T) {
	srv, c := newServer(t)
	srv.SetPolicy(testserver.Policy{EarlyReject: true})
	body, rest := io.Pipe() // never ends: only an early answer comes
	defer rest.Close()
	r, err := send(c, apiRequest("POST", srv.APIURL("/"), "at-who", body))
	wantStatus(t, must(t, r, err), 401)
}

func TestLateReject(t *testing.T) {
	srv, c := newServer(t)
	body, rest := io.Pipe()
	done := make(chan int)
	go func() {
		r, _ := send(c, apiRequest("POST", srv.APIURL("/"), "at-who", body))
		done <- r.status
	}()
	io.WriteString(rest, "some")
	select {
	case <-done:
		t.Fatal("answered before the body was read")
	default:
	}
	rest.Close()
	want(t, "status", <-done, 401)
}

func TestAPIBodyBroken(t *testing.T) {
	srv, c := newServer(t)
	body, rest := io.Pipe()
	rest.CloseWithError(errors.New("broken"))
	_, err := send(c, apiRequest("POST", srv.APIURL("/"), srv.BeginSession("alice").AccessToken, body))
	if err == nil {
		t.Error("a request without the end of its body was answered")
	}
}

func TestOtherPaths(t *testing.T) {
	srv, c := newServer(t)
	tokens := srv.BeginSession("alice")
	wantStatus(t, get(t, c, srv.Issuer()+"/nothing", ""), 404)
	want(t, "other", srv.Log().Requests(testserver.Other), 1)
	wantStatus(t, get(t, c, srv.Issuer()+"/api/me", tokens.AccessToken), 200)
	wantStatus(t, get(t, c, srv.APIURL("/token"), tokens.AccessToken), 200)
	want(t, "API requests", srv.Log().APIRequests(), 2)
	want(t, "token requests", srv.Log().TokenRequests(), 0)
}

func TestNewAPI(t *testing.T) {
	for name, start := range map[string]func() *testserver.Server{
		"memory": testserver.New, "loopback": testserver.NewLoopback,
	} {
		t.Run(name, func(t *testing.T) {
			srv := start()
			t.Cleanup(srv.Close)
			c, tokens := srv.Client(), srv.BeginSession("alice")
			other := srv.NewAPI()
			host := other[strings.Index(other, "//")+2:]
			if strings.HasPrefix(srv.APIURL(""), other) || other == srv.NewAPI() {
				t.Fatal("not an origin of its own")
			}
			get(t, c, other+"/x", "")
			want(t, "token seen", srv.Log().TokenSeenBy(host), false)
			r := get(t, c, other+"/x", tokens.AccessToken)
			wantStatus(t, r, 200)
			want(t, "host", r.text("host"), host)
			want(t, "token seen", srv.Log().TokenSeenBy(host), true)
		})
	}
}

func TestHandlerOfAnotherServer(t *testing.T) {
	srv, _ := newServer(t)
	tokens := srv.BeginSession("alice")
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, apiRequest("GET", "https://elsewhere.test/x", tokens.AccessToken, http.NoBody))
	want(t, "status", w.Code, 200)
	want(t, "host", srv.Log().Entries()[0].Host, "elsewhere.test")
	w = httptest.NewRecorder()
	srv.ServeHTTP(w, refreshRequest(srv, tokens.RefreshToken))
	want(t, "status", w.Code, 200)
	want(t, "refreshes", srv.Log().Refreshes(), 1)
}
