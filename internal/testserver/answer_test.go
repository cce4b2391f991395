package testserver_test

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

func TestExpiresIn(t *testing.T) {
	for _, text := range []string{`3600`, `"3600"`, `3599.9`, `null`, `0`, `-5`, `3.6e3`, `1e30`, `[]`, testserver.Omit} {
		srv, c := newServer(t)
		srv.SetPolicy(testserver.Policy{Members: map[string]string{"expires_in": text}})
		r := refresh(t, srv, c, srv.BeginSession("alice").RefreshToken)
		there := strings.Contains(r.body, `"expires_in":`)
		if text == testserver.Omit {
			want(t, "expires_in is there", there, false)
		} else if !strings.Contains(r.body, `"expires_in":`+text+`,`) {
			t.Errorf("answer %s has no expires_in %s", r.body, text)
		}
	}
}

func TestExpiresInOfLifetime(t *testing.T) {
	for lifetime, text := range map[time.Duration]any{
		90 * time.Second:        90.0,
		2900 * time.Millisecond: 2.0,
		500 * time.Millisecond:  0.5,
		-5 * time.Second:        -5.0,
	} {
		srv, c := newServer(t)
		srv.SetPolicy(testserver.Policy{AccessLifetime: lifetime})
		r := refresh(t, srv, c, srv.BeginSession("alice").RefreshToken)
		want(t, "expires_in", r.members["expires_in"], text)
	}
}

func TestMembers(t *testing.T) {
	srv, c := newServer(t)
	srv.SetPolicy(testserver.Policy{
		TokenType: "bEaReR",
		IDToken:   true,
		Members: map[string]string{
			"scope":       `["read"]`,
			"id_token":    testserver.Omit,
			"instance_id": `{"a":[1,2]}`,
		},
	})
	r := refresh(t, srv, c, srv.BeginSession("alice").RefreshToken)
	want(t, "token_type", r.text("token_type"), "bEaReR")
	for _, part := range []string{`"scope":["read"]`, `"instance_id":{"a":[1,2]}`} {
		want(t, part, strings.Contains(r.body, part), true)
	}
	want(t, "id_token", strings.Contains(r.body, "id_token"), false)
}

func TestFormEncoded(t *testing.T) {
	srv, c := newServer(t)
	srv.SetPolicy(testserver.Policy{FormEncoded: true, Members: map[string]string{"x": `"a b"`}})
	first := srv.BeginSession("alice").RefreshToken
	r := refresh(t, srv, c, first)
	want(t, "Content-Type", r.header.Get("Content-Type"), "application/x-www-form-urlencoded")
	form, err := url.ParseQuery(r.body)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "expires_in", form.Get("expires_in"), "3600")
	want(t, "x", form.Get("x"), "a b")
	wantStatus(t, get(t, c, srv.APIURL("/"), form.Get("access_token")), 200)
	form, _ = url.ParseQuery(refresh(t, srv, c, first).body)
	want(t, "error", form.Get("error"), "invalid_grant")
}

func TestContentType(t *testing.T) {
	srv, c := newServer(t)
	for ask, answer := range map[string]string{
		"":                     "application/json",
		"text/plain":           "text/plain",
		testserver.Omit:        "",
		"application/x; a=b":   "application/x; a=b",
		"application/vnd+json": "application/vnd+json",
	} {
		srv.SetPolicy(testserver.Policy{ContentType: ask})
		r := refresh(t, srv, c, srv.BeginSession("alice").RefreshToken)
		want(t, "Content-Type", r.header.Get("Content-Type"), answer)
	}
}

func TestAccessJWT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		srv.SetPolicy(testserver.Policy{AccessJWT: true})
		tokens := srv.BeginSession("alice")
		time.Sleep(999 * time.Millisecond)
		again := refresh(t, srv, c, tokens.RefreshToken)
		want(t, "same in the same second", again.text("access_token") == tokens.AccessToken, true)
		time.Sleep(time.Millisecond)
		third := refresh(t, srv, c, again.text("refresh_token"))
		want(t, "same in the next second", third.text("access_token") == tokens.AccessToken, false)
		want(t, "account", get(t, c, srv.APIURL("/"), third.text("access_token")).text("account"), "alice")
		want(t, "parts", strings.Count(tokens.AccessToken, "."), 2)
	})
}

func TestTokenSize(t *testing.T) {
	srv, c := newServer(t)
	srv.SetPolicy(testserver.Policy{TokenSize: 64 << 10})
	tokens := srv.BeginSession("alice")
	want(t, "length", len(tokens.AccessToken), 64<<10)
	wantStatus(t, get(t, c, srv.APIURL("/"), tokens.AccessToken), 200)
	wantStatus(t, refresh(t, srv, c, tokens.RefreshToken), 200)
}

func TestBadTokenRequests(t *testing.T) {
	srv, c := newServer(t)
	rt := srv.BeginSession("alice").RefreshToken
	req := refreshRequest(srv, rt)
	req.Method = "PUT"
	r, err := send(c, req)
	wantError(t, must(t, r, err), 405, "invalid_request")
	req = refreshRequest(srv, rt)
	req.Header.Set("Content-Type", "application/json")
	r, err = send(c, req)
	wantError(t, must(t, r, err), 400, "invalid_request")
	req = refreshRequest(srv, rt)
	req.URL.RawQuery = "refresh_token=" + rt
	r, err = send(c, req)
	wantError(t, must(t, r, err), 400, "invalid_request")
	twice := refreshForm(rt)
	twice.Add("client_id", "app")
	r, err = send(c, tokenRequest(srv, twice))
	wantError(t, must(t, r, err), 400, "invalid_request")
	r, err = send(c, tokenRequest(srv, url.Values{"grant_type": {"password"}}))
	wantError(t, must(t, r, err), 400, "unsupported_grant_type")
	r, err = send(c, tokenRequest(srv, url.Values{}))
	wantError(t, must(t, r, err), 400, "invalid_request")
	other := refreshForm(refresh(t, srv, c, rt).text("refresh_token"))
	other.Set("client_id", "other")
	r, err = send(c, tokenRequest(srv, other))
	wantError(t, must(t, r, err), 400, "invalid_grant")
}
