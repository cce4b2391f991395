package testserver_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/internal/testserver"
)

// revoke asks srv to revoke token, as the client app with that secret.
func revoke(t *testing.T, srv *testserver.Server, c *http.Client, secret string, form url.Values) reply {
	t.Helper()
	req, err := http.NewRequest("POST", srv.RevocationURL(), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("app", secret)
	r, err := send(c, req)
	return must(t, r, err)
}

func TestRevocation(t *testing.T) {
	srv, c := newServer(t)
	srv.SetPolicy(testserver.Policy{Clients: map[string]string{"app": "secret"}})
	first := srv.BeginSession("alice")
	token := func(text string) url.Values { return url.Values{"token": {text}} }

	wantError(t, revoke(t, srv, c, "wrong", token(first.RefreshToken)), 401, "invalid_client")
	wantError(t, revoke(t, srv, c, "secret", url.Values{"token_type_hint": {"refresh_token"}}), 400, "invalid_request")
	wantStatus(t, get(t, c, srv.APIURL("/"), first.AccessToken), 200)
	for _, text := range []string{"rt-who", ""} {
		wantStatus(t, revoke(t, srv, c, "secret", token(text)), 200)
	}

	wantStatus(t, revoke(t, srv, c, "secret", token(first.AccessToken)), 200)
	wantStatus(t, get(t, c, srv.APIURL("/"), first.AccessToken), 401)

	srv.Inject(testserver.OnRevoke, 1, testserver.Status(503))
	wantStatus(t, revoke(t, srv, c, "secret", token(first.RefreshToken)), 503)
	wantStatus(t, revoke(t, srv, c, "secret", token(first.RefreshToken)), 200)
	wantStatus(t, revoke(t, srv, c, "secret", token(first.RefreshToken)), 200) // of a session that is over
	want(t, "revocations", srv.Log().Revocations(), 8)
	granted := 0
	for _, e := range srv.Log().Entries() {
		if e.Endpoint == testserver.Revoke && e.Granted {
			granted++
			want(t, "account", e.Account, "alice")
		}
	}
	want(t, "granted", granted, 3)
}

func TestRevocationEndsTheSession(t *testing.T) {
	for name, test := range map[string]struct {
		policy  testserver.Policy
		refresh bool // the refresh token is revoked; else the access token
		lives   bool
	}{
		"refresh token":                    {testserver.Policy{}, true, false},
		"access token":                     {testserver.Policy{}, false, true},
		"access token of a strict session": {testserver.Policy{RevokeAll: true}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			srv, c := newServer(t)
			srv.SetPolicy(test.policy)
			first, other := srv.BeginSession("alice"), srv.BeginSession("alice")
			second := refresh(t, srv, c, first.RefreshToken)
			text := first.AccessToken
			if test.refresh {
				text = first.RefreshToken // spent, and it ends the session all the same
			}
			wantStatus(t, revoke(t, srv, c, "", url.Values{"token": {text}}), 200)
			if test.lives {
				wantStatus(t, get(t, c, srv.APIURL("/"), second.text("access_token")), 200)
				wantStatus(t, refresh(t, srv, c, second.text("refresh_token")), 200)
			} else {
				wantStatus(t, get(t, c, srv.APIURL("/"), second.text("access_token")), 401)
				wantError(t, refresh(t, srv, c, second.text("refresh_token")), 400, "invalid_grant")
			}
			wantStatus(t, refresh(t, srv, c, other.RefreshToken), 200)
		})
	}
}
