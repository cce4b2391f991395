package testserver_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

// In a bubble, an idle server is durably blocked, time passes without anybody
// waiting, and Close leaves no goroutine (the bubble would complain).
func TestSynctest(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		srv := testserver.New()
		c := srv.Client()
		srv.SetPolicy(testserver.Policy{AccessLifetime: time.Hour})
		tokens := srv.BeginSession("alice")
		wantStatus(t, get(t, c, srv.APIURL("/"), tokens.AccessToken), 200)
		synctest.Wait()
		time.Sleep(time.Hour)
		wantStatus(t, get(t, c, srv.APIURL("/"), tokens.AccessToken), 401)
		wantStatus(t, refresh(t, srv, c, tokens.RefreshToken), 200)
		time.Sleep(1000 * time.Hour)

		gate := srv.Hold(testserver.OnToken)
		go cancelled(srv, c, tokens.RefreshToken, 24*time.Hour)
		synctest.Wait()
		want(t, "waiting", gate.Waiting(), 1)
		srv.Close()
		srv.Close()
	})
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestCloseInMemory(t *testing.T) { testClose(t, testserver.New) }

func TestCloseOnLoopback(t *testing.T) { testClose(t, testserver.NewLoopback) }

func testClose(t *testing.T, start func() *testserver.Server) {
	before := runtime.NumGoroutine()
	srv := start()
	c := srv.Client()
	c.Timeout = 10 * time.Second
	get(t, c, srv.APIURL("/"), "")
	srv.Inject(testserver.OnToken, 1, testserver.Hang())
	failed := make(chan error)
	go func() {
		_, err := send(c, refreshRequest(srv, "rt"))
		failed <- err
	}()
	for srv.Log().TokenRequests() == 0 {
		time.Sleep(time.Millisecond)
	}
	srv.Close()
	if err := <-failed; err == nil {
		t.Error("the hanging request was answered")
	}
	if _, err := c.Get(srv.APIURL("/")); err == nil {
		t.Error("a closed server answers")
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond)
	}
}

// Close waits for what it breaks off.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		var ended atomic.Bool
		srv.Inject(testserver.OnAPI, 1, func(http.ResponseWriter, *http.Request, http.HandlerFunc) {
			time.Sleep(time.Minute)
			ended.Store(true)
		})
		srv.Inject(testserver.OnToken, 1, testserver.DelayBefore(time.Hour))
		go c.Get(srv.APIURL("/"))
		go send(c, refreshRequest(srv, "rt"))
		synctest.Wait()
		start := time.Now()
		srv.Close()
		want(t, "ended", ended.Load(), true)
		want(t, "closed after", time.Since(start), time.Minute)
	})
}

func TestLoopback(t *testing.T) {
	srv := testserver.NewLoopback()
	t.Cleanup(srv.Close)
	c := &http.Client{Transport: &http.Transport{}} // no transport of the server's is needed
	defer c.CloseIdleConnections()
	for _, url := range []string{srv.Issuer(), srv.TokenURL(), srv.APIURL("/x")} {
		want(t, url, strings.HasPrefix(url, "http://127.0.0.1:"), true)
	}
	want(t, "one origin", strings.HasPrefix(srv.APIURL("/"), srv.Issuer()), false)
	first := srv.BeginSession("alice")
	r := refresh(t, srv, c, first.RefreshToken)
	want(t, "account", get(t, c, srv.APIURL("/x"), r.text("access_token")).text("account"), "alice")
	srv.Inject(testserver.OnToken, 1, testserver.LoseAnswer())
	if _, err := send(c, refreshRequest(srv, r.text("refresh_token"))); err == nil {
		t.Error("answered")
	}
	srv.Inject(testserver.OnAPI, 1, testserver.Unauthorized("Bearer"))
	body, rest := io.Pipe()
	defer rest.Close()
	r, err := send(c, apiRequest("POST", srv.APIURL("/x"), "", body))
	wantStatus(t, must(t, r, err), 401)
	want(t, "refreshes", srv.Log().Refreshes(), 2)
}

func TestConcurrentRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		start func() *testserver.Server
		n     int
	}{
		"memory":   {testserver.New, 1000},
		"loopback": {testserver.NewLoopback, 200},
	} {
		t.Run(name, func(t *testing.T) {
			srv := tc.start()
			t.Cleanup(srv.Close)
			c, tokens := srv.Client(), srv.BeginSession("alice")
			gate := srv.Hold(testserver.OnAPI)
			var ok atomic.Int32
			var wg sync.WaitGroup
			for range tc.n {
				wg.Go(func() {
					if r, err := send(c, apiRequest("GET", srv.APIURL("/"), tokens.AccessToken, nil)); err == nil && r.status == 200 {
						ok.Add(1)
					}
				})
			}
			if err := gate.Wait(t.Context(), tc.n); err != nil {
				t.Fatal(err)
			}
			gate.Release()
			wg.Wait()
			want(t, "succeeded", int(ok.Load()), tc.n)
			want(t, "API requests", srv.Log().APIRequests(), tc.n)
		})
	}
}

// Of many refreshes with one token, one wins.
func TestConcurrentRefreshes(t *testing.T) {
	srv, c := newServer(t)
	srv.SetPolicy(testserver.Policy{Reuse: testserver.RefuseReuse})
	rt := srv.BeginSession("alice").RefreshToken
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { send(c, refreshRequest(srv, rt)) })
		wg.Go(func() { srv.UpdatePolicy(func(p *testserver.Policy) { p.TokenSize++ }) })
		wg.Go(func() { srv.Log().Entries() })
	}
	wg.Wait()
	want(t, "refreshes", srv.Log().Refreshes(), 1)
	want(t, "reused", srv.Log().Reused(), 49)
	want(t, "policy updates", srv.Policy().TokenSize, 50)
}

func TestPolicyIsCopied(t *testing.T) {
	srv, _ := newServer(t)
	members := map[string]string{"a": "1"}
	srv.SetPolicy(testserver.Policy{Members: members})
	members["a"] = "2"
	srv.Policy().Members["a"] = "3"
	want(t, "member", srv.Policy().Members["a"], "1")
}

func TestDialIsCancelled(t *testing.T) {
	srv := testserver.New()
	srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := srv.Transport().DialContext(ctx, "tcp", "api.test:80"); err == nil {
		t.Error("a closed server was reached")
	}
}
