package testserver_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

func TestDrop(t *testing.T) {
	srv, c := newServer(t)
	rt := srv.BeginSession("alice").RefreshToken
	i := srv.Inject(testserver.OnToken, 1, testserver.Drop())
	if _, err := send(c, refreshRequest(srv, rt)); err == nil {
		t.Fatal("answered")
	}
	want(t, "hits", i.Hits(), 1)
	want(t, "refreshes", srv.Log().Refreshes(), 0)
	wantStatus(t, refresh(t, srv, c, rt), 200)
	want(t, "reused", srv.Log().Reused(), 0)
	want(t, "token requests", srv.Log().TokenRequests(), 2)
}

func TestLoseAnswer(t *testing.T) {
	srv, c := newServer(t)
	rt := srv.BeginSession("alice").RefreshToken
	srv.Inject(testserver.OnRefresh, 1, testserver.LoseAnswer())
	if _, err := send(c, refreshRequest(srv, rt)); err == nil {
		t.Fatal("answered")
	}
	want(t, "refreshes", srv.Log().Refreshes(), 1)
	e := srv.Log().Entries()[0]
	want(t, "granted", e.Granted && e.NewRefreshToken != "", true)
	want(t, "status", e.Status, 0)
	wantError(t, refresh(t, srv, c, rt), 400, "invalid_grant")
	want(t, "reused", srv.Log().Reused(), 1)
}

func TestTruncate(t *testing.T) {
	srv, c := newServer(t)
	rt := srv.BeginSession("alice").RefreshToken
	srv.Inject(testserver.OnToken, 1, testserver.Truncate())
	r, err := send(c, refreshRequest(srv, rt))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "status", r.status, 200)
	want(t, "cut short", errors.Is(r.bodyErr, io.ErrUnexpectedEOF), true)
	want(t, "some came", len(r.body) > 0 && r.members == nil, true)
	want(t, "refreshes", srv.Log().Refreshes(), 1)
}

// cancelled sends a refresh and gives up after d.
func cancelled(srv *testserver.Server, c *http.Client, rt string, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_, err := send(c, refreshRequest(srv, rt).WithContext(ctx))
	return err
}

func TestDelays(t *testing.T) {
	for name, tc := range map[string]struct {
		action testserver.Action
		acted  int // refreshes when the client gives up
	}{
		"before": {testserver.DelayBefore(time.Minute), 0},
		"after":  {testserver.DelayAfter(time.Minute), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, c := newServer(t)
				srv.Inject(testserver.OnToken, 2, tc.action)
				start := time.Now()
				wantStatus(t, refresh(t, srv, c, srv.BeginSession("alice").RefreshToken), 200)
				want(t, "answered after", time.Since(start), time.Minute)

				srv.Log().Reset()
				err := cancelled(srv, c, srv.BeginSession("bob").RefreshToken, time.Second)
				want(t, "gave up", errors.Is(err, context.DeadlineExceeded), true)
				want(t, "refreshes", srv.Log().Refreshes(), tc.acted)
				time.Sleep(time.Minute)
				synctest.Wait()
				want(t, "refreshes in the end", srv.Log().Refreshes(), 1)
			})
		})
	}
}

func TestHang(t *testing.T) {
	for name, tc := range map[string]struct {
		action testserver.Action
		acted  int
	}{
		"hang":       {testserver.Hang(), 0},
		"hang after": {testserver.HangAfter(), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, c := newServer(t)
				rt := srv.BeginSession("alice").RefreshToken
				srv.Inject(testserver.OnToken, testserver.Always, tc.action)
				err := cancelled(srv, c, rt, time.Hour)
				want(t, "gave up", errors.Is(err, context.DeadlineExceeded), true)
				want(t, "refreshes", srv.Log().Refreshes(), tc.acted)

				done := make(chan error)
				go func() { done <- cancelled(srv, c, rt, time.Hour) }()
				synctest.Wait()
				srv.Close()
				if err := <-done; err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("closing did not end the request: %v", err)
				}
			})
		})
	}
}

// The server notices that the client of a hanging request went, although
// nobody asked for the request's body.
func TestHangWithUnreadBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		var noticed atomic.Bool
		srv.Inject(testserver.OnAPI, 1, func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			defer noticed.Store(true)
			testserver.Hang()(w, r, next)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req := apiRequest("POST", srv.APIURL("/"), "", strings.NewReader(strings.Repeat("x", 1000)))
		if _, err := send(c, req.WithContext(ctx)); err == nil {
			t.Error("answered")
		}
		synctest.Wait()
		want(t, "noticed", noticed.Load(), true)
	})
}

func TestHook(t *testing.T) {
	srv, c := newServer(t)
	tokens := srv.BeginSession("alice")
	srv.Inject(testserver.OnAPI, 2, testserver.Hook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/teapot" {
			return false
		}
		w.WriteHeader(http.StatusTeapot)
		return true
	}))
	wantStatus(t, get(t, c, srv.APIURL("/teapot"), tokens.AccessToken), 418)
	wantStatus(t, get(t, c, srv.APIURL("/"), tokens.AccessToken), 200)
	want(t, "status in the log", srv.Log().Entries()[0].Status, 418)
}

func TestHookWithoutStatus(t *testing.T) {
	srv, c := newServer(t)
	for _, flush := range []bool{false, true} {
		srv.Inject(testserver.OnAPI, 1, testserver.Hook(func(w http.ResponseWriter, r *http.Request) bool {
			if flush {
				w.(http.Flusher).Flush()
			}
			return true
		}))
		wantStatus(t, get(t, c, srv.APIURL("/"), ""), 200)
		want(t, "status in the log", last(srv).Status, 200)
	}
}

func TestHookUpgrades(t *testing.T) {
	srv, c := newServer(t)
	srv.Inject(testserver.OnAPI, 1, testserver.Hook(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, line)
		return true
	}))
	req := apiRequest("GET", srv.APIURL("/"), "", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.WriteString(resp.Body.(io.Writer), "hello\n")
	line, _ := io.ReadAll(resp.Body)
	want(t, "echo", string(line), "hello\n")
	want(t, "status in the log", srv.Log().Entries()[0].Status, 101)
}
