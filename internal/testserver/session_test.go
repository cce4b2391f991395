package testserver_test

import (
	"net/http"
	"testing"
)

func TestEndSession(t *testing.T) {
	srv, c := newServer(t)
	alice, bob := srv.BeginSession("alice"), srv.BeginSession("bob")
	srv.EndSession("alice")
	for token, status := range map[string]int{alice.AccessToken: http.StatusUnauthorized, bob.AccessToken: http.StatusOK} {
		req, _ := http.NewRequest("GET", srv.APIURL("/"), nil)
		req.Header.Set("Authorization", "Bearer "+token)
		r, err := send(c, req)
		want(t, "API", must(t, r, err).status, status)
	}
	r, err := send(c, refreshRequest(srv, alice.RefreshToken))
	want(t, "refresh of the ended session", must(t, r, err).status, http.StatusBadRequest)
}
