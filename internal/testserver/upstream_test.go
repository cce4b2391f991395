package testserver_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/freshet-go/freshet/internal/testserver"
)

// foreign is an authorization server that answers a refresh with the tokens that
// its name says, and anything else with an error.
func foreign(acted *int) testserver.Upstream {
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.PostFormValue("refresh_token") != "foreign-rt" {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"invalid_grant"}`)
			return
		}
		*acted++
		fmt.Fprintf(w, `{"access_token":"foreign-at-%d","refresh_token":"foreign-rt-%[1]d"}`, *acted)
	})
	mux.HandleFunc("/login", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "sign in") })
	return testserver.Upstream{
		Handler: mux,
		Check: func(_ context.Context, token string) (account, scope, fault string) {
			if token != "foreign-at-1" {
				return "", "", "no such token"
			}
			return "alice", "read", ""
		},
	}
}

func newFront(t *testing.T) (*testserver.Server, *http.Client, *int) {
	t.Helper()
	acted := new(int)
	srv, c := newServer(t)
	srv.StandBefore(foreign(acted))
	return srv, c, acted
}

func TestFrontPassesOn(t *testing.T) {
	srv, c, _ := newFront(t)
	r := refresh(t, srv, c, "foreign-rt")
	want(t, "access token", r.text("access_token"), "foreign-at-1")
	wantError(t, refresh(t, srv, c, "spent"), 400, "invalid_grant")
	want(t, "page", get(t, c, srv.Issuer()+"/login", "").body, "sign in")

	all := srv.Log().Entries()
	want(t, "granted", all[0].Granted, true)
	want(t, "new access token", all[0].NewAccessToken, "foreign-at-1")
	want(t, "new refresh token", all[0].NewRefreshToken, "foreign-rt-1")
	want(t, "granted", all[1].Granted, false)
	want(t, "error", all[1].Error, "invalid_grant")
	want(t, "refreshes", srv.Log().Refreshes(), 1)
}

func TestFrontInjects(t *testing.T) {
	srv, c, acted := newFront(t)
	srv.Inject(testserver.OnRefresh, 1, testserver.Status(503))
	wantStatus(t, refresh(t, srv, c, "foreign-rt"), 503)
	want(t, "the server acted", *acted, 0)
	srv.Inject(testserver.OnRefresh, 1, testserver.LoseAnswer())
	if _, err := send(c, refreshRequest(srv, "foreign-rt")); err == nil {
		t.Error("the answer was to be lost")
	}
	want(t, "the server acted", *acted, 1)
	want(t, "refreshes", srv.Log().Refreshes(), 1)
}

func TestFrontAPI(t *testing.T) {
	srv, c, _ := newFront(t)
	r := get(t, c, srv.APIURL("/me"), "foreign-at-1")
	wantStatus(t, r, 200)
	want(t, "account", r.text("account"), "alice")
	want(t, "scope", r.text("scope"), "read")
	wantStatus(t, get(t, c, srv.APIURL("/me"), "foreign-at-2"), 401)

	want(t, "revoked", srv.RevokeAccessToken("foreign-at-1"), true)
	wantStatus(t, get(t, c, srv.APIURL("/me"), "foreign-at-1"), 401)
}

func TestInFlight(t *testing.T) {
	srv, c := newServer(t)
	gate := srv.Hold(testserver.OnToken)
	answers := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := send(c, refreshRequest(srv, "rt"))
			answers <- err
		}()
	}
	if err := gate.Wait(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	get(t, c, srv.APIURL("/me"), "") // of another endpoint
	gate.Release()
	for range 2 {
		want(t, "error", <-answers, nil)
	}
	srv.Inject(testserver.OnToken, 1, testserver.Drop())
	send(c, refreshRequest(srv, "rt"))
	refresh(t, srv, c, "rt")
	for i, n := range []int{1, 2, 1, 1, 1} {
		want(t, fmt.Sprintf("request %d: in flight", i), srv.Log().Entries()[i].InFlight, n)
	}
}
