package transport_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A switcher changes to another protocol, which echoes lines.
type switcher struct{ tokenAPI }

func (s *switcher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.note(r); !s.good(r) {
		unauthorized(w)
		return
	}
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "echo")
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	line, _ := buf.ReadString('\n')
	io.WriteString(conn, strings.ToUpper(line))
}

func TestRule031_upgraded_connection_is_passed_on(t *testing.T) {
	for revoked, name := range []string{"at once", "after a 401"} {
		t.Run(name, func(t *testing.T) {
			s := new(switcher)
			s.revoked.Store(int64(revoked))
			srv := serve(t, s, "HTTP/1")
			req := request(t, "GET", srv.URL, nil)
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "echo")
			resp, err := (&http.Client{Transport: s.over(t, srv.Client().Transport)}).Do(req)
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(resp, err)
			}
			defer resp.Body.Close()
			conn, ok := resp.Body.(io.ReadWriteCloser)
			if !ok {
				t.Fatalf("the body is a %T, which can't be written to", resp.Body)
			}
			fmt.Fprintln(conn, "hello")
			if line, err := bufio.NewReader(conn).ReadString('\n'); line != "HELLO\n" {
				t.Errorf("echo %q, %v; want HELLO", line, err)
			}
		})
	}
}

func TestRule032_expect_100_continue(t *testing.T) {
	content := string(randomBytes(100<<10, 32))
	overBoth(t, newEarlyExpecter, func(t *testing.T, a *expecter, srv *httptest.Server) {
		base := srv.Client().Transport.(*http.Transport)
		base.ExpectContinueTimeout = time.Minute // longer than the test may take
		tr, bodies := a.over(t, base), new(ledger)
		ok := "POST " + digest(strings.NewReader(content))
		post := func() *http.Request {
			req := bodies.request(t, "POST", srv.URL, content)
			req.ContentLength = int64(len(content))
			req.Header.Set("Expect", "100-continue")
			return req
		}
		wantAnswer(t, tr, post(), 200, ok)
		a.revoke()
		wantAnswer(t, tr, post(), 200, ok)
		a.wantSeen(t, "token-1", "token-1", "token-2")
		before := a.conns.Load()
		for range 100 {
			wantAnswer(t, tr, request(t, "GET", srv.URL, nil), 200, "GET "+digest(http.NoBody))
		}
		if n := a.conns.Load() - before; n > 1 {
			t.Errorf("100 further requests needed %d new connections", n)
		}
		bodies.wantClosed(t)
	})
}

// An expecter answers 401 without having asked for the body.
type expecter struct {
	tokenAPI
	conns atomic.Int64
	last  atomic.Value // the address that the last request came from
}

func newEarlyExpecter() *expecter { return new(expecter) }

func (a *expecter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.last.Swap(r.RemoteAddr) != r.RemoteAddr {
		a.conns.Add(1)
	}
	if a.good(r) {
		a.tokenAPI.ServeHTTP(w, r)
		return
	}
	a.note(r)
	unauthorized(w)
}

func TestRule035_transport_is_a_good_neighbour(t *testing.T) {
	t.Run("idle connections", func(t *testing.T) {
		base := &closer{RoundTripper: new(tokenAPI)}
		client := http.Client{Transport: new(mint).over(t, base)}
		client.CloseIdleConnections()
		if base.closed != 1 {
			t.Errorf("Base was told %d times to close its idle connections, want once", base.closed)
		}
		client.Transport = new(mint).over(t, new(tokenAPI))
		client.CloseIdleConnections() // of a Base that has none
	})
	t.Run("traces", func(t *testing.T) {
		overBoth(t, newHinter, func(t *testing.T, h *hinter, srv *httptest.Server) {
			var conns, hints, wrote int
			req := request(t, "GET", srv.URL, nil)
			req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
				GotConn:        func(httptrace.GotConnInfo) { conns++ },
				WroteRequest:   func(httptrace.WroteRequestInfo) { wrote++ },
				Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hints += code; return nil },
			}))
			h.revoked.Store(1)
			wantAnswer(t, h.over(t, srv.Client().Transport), req, 200, "GET "+digest(http.NoBody))
			if conns != 2 || wrote != 2 || hints != 2*http.StatusEarlyHints {
				t.Errorf("traced %d connections, %d requests and hints %d, want 2, 2 and 206", conns, wrote, hints)
			}
		})
	})
	t.Run("a thousand users", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { // in which no goroutine may be left
			a := new(tokenAPI)
			a.before = func(int64) error { time.Sleep(20 * time.Millisecond); return nil }
			tr := a.over(t, baseFunc(func(req *http.Request) (*http.Response, error) {
				time.Sleep(5 * time.Millisecond)
				return a.RoundTrip(req)
			}))
			for range 3 {
				a.revoke()
				inFlight(1000, func(i int) {
					time.Sleep(time.Duration(i%40) * time.Millisecond) // before, during and after the refresh
					req := request(t, "POST", "https://api.test/", strings.NewReader("content"))
					wantAnswer(t, tr, req, 200, "POST "+digest(strings.NewReader("content")))
				})
			}
			a.wantAsked(t, 3)
		})
	})
	t.Run("goroutines", func(t *testing.T) {
		overBoth(t, newTokenAPI, func(t *testing.T, a *tokenAPI, srv *httptest.Server) {
			before := runtime.NumGoroutine()
			tr := a.over(t, srv.Client().Transport)
			for range 50 {
				a.revoke()
				send(t, tr, request(t, "POST", srv.URL, strings.NewReader("content")))
			}
			tr.CloseIdleConnections()
			for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if n := runtime.NumGoroutine(); n > before {
				t.Errorf("%d goroutines, and there were %d before", n, before)
			}
		})
	})
}

// A closer is a Base with idle connections.
type closer struct {
	http.RoundTripper
	closed int
}

func (c *closer) CloseIdleConnections() { c.closed++ }

// A hinter sends a 103 before its answer.
type hinter struct{ tokenAPI }

func newHinter() *hinter { return new(hinter) }

func (h *hinter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusEarlyHints)
	h.tokenAPI.ServeHTTP(w, r)
}
