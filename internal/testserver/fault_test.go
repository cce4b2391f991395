package testserver_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

func TestMatch(t *testing.T) {
	hit, miss := []testserver.Match{
		{},
		testserver.OnAPI,
		{Method: "GET"},
		{Host: "api.test"},
		{Path: "/v1/me"},
		{Path: "/v1/"},
		{Endpoint: testserver.API, Method: "GET", Host: "api.test", Path: "/v1/me"},
		{When: func(r *http.Request) bool { return r.URL.RawQuery == "q" }},
	}, []testserver.Match{
		testserver.OnToken,
		testserver.OnRefresh,
		{Grant: "refresh_token"},
		{Method: "POST"},
		{Host: "api"},
		{Path: "/v1"},
		{Path: "/v2/"},
		{Endpoint: testserver.API, Host: "api2.test"},
		{When: func(r *http.Request) bool { return false }},
	}
	srv, c := newServer(t)
	for status, list := range map[int][]testserver.Match{418: hit, 401: miss} {
		for _, match := range list {
			i := srv.Inject(match, 1, testserver.Status(418))
			wantStatus(t, get(t, c, srv.APIURL("/v1/me?q"), ""), status)
			i.Clear()
		}
	}
}

func TestMatchGrant(t *testing.T) {
	srv, c := newServer(t)
	rt := srv.BeginSession("alice").RefreshToken
	srv.Inject(testserver.Match{Grant: "client_credentials"}, 1, testserver.Status(418))
	wantStatus(t, refresh(t, srv, c, rt), 200)
	srv.Inject(testserver.OnRefresh, 1, testserver.Status(418))
	wantStatus(t, refresh(t, srv, c, rt), 418)
}

func TestInjectOrder(t *testing.T) {
	srv, c := newServer(t)
	srv.Inject(testserver.OnAPI, testserver.Always, testserver.Status(500))
	always := srv.Inject(testserver.OnAPI, testserver.Always, testserver.Status(501))
	srv.Inject(testserver.OnAPI, 2, testserver.Status(502))
	srv.Inject(testserver.OnAPI, 1, testserver.Status(503))
	srv.Inject(testserver.OnAPI, 0, testserver.Status(504))
	for _, status := range []int{502, 502, 503, 501, 501} {
		wantStatus(t, get(t, c, srv.APIURL("/"), ""), status)
	}
	want(t, "hits", always.Hits(), 2)
	always.Clear()
	wantStatus(t, get(t, c, srv.APIURL("/"), ""), 500)
	srv.ClearFaults()
	wantStatus(t, get(t, c, srv.APIURL("/"), ""), 401)
	want(t, "injected", len(srv.Log().Select(func(e testserver.Entry) bool { return e.Injected })), 6)
}

func TestThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		action := testserver.DelayBefore(time.Second).Then(testserver.DelayAfter(time.Minute)).Then(testserver.Status(503))
		srv.Inject(testserver.OnAPI, 1, action)
		start := time.Now()
		wantStatus(t, get(t, c, srv.APIURL("/"), ""), 503)
		want(t, "time", time.Since(start), time.Minute+time.Second)
	})
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		srv.SetPolicy(testserver.Policy{TokenLatency: time.Second, APILatency: time.Minute})
		start := time.Now()
		refresh(t, srv, c, "rt")
		want(t, "token endpoint", time.Since(start), time.Second)
		get(t, c, srv.APIURL("/"), "")
		want(t, "both", time.Since(start), time.Minute+time.Second)
	})
}
