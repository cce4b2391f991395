package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A readFunc is an io.Reader.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestRule025_rejected_answer_is_drained_a_little(t *testing.T) {
	for _, c := range []struct {
		name string
		read func(b *body, p []byte) (int, error) // while b is open
		took time.Duration                        // until the second try
		max  int64                                // bytes read
	}{
		{"endless", func(_ *body, p []byte) (int, error) { return len(p), nil }, 0, 64 << 10},
		{"slow", func(_ *body, p []byte) (int, error) { time.Sleep(time.Millisecond); return 1, nil }, 50 * time.Millisecond, 51},
		{"silent", func(b *body, p []byte) (int, error) { <-b.gone; return 0, http.ErrBodyReadAfterClose }, 50 * time.Millisecond, 0},
		{"broken", func(*body, []byte) (int, error) { return 0, io.ErrUnexpectedEOF }, 0, 0},
		{"panics", func(*body, []byte) (int, error) { panic("in a body") }, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var total atomic.Int64
				bodies, first := new(ledger), (*body)(nil)
				first = bodies.body("of the 401", readFunc(func(p []byte) (int, error) {
					if first.closed.Load() > 0 {
						return 0, http.ErrBodyReadAfterClose
					}
					n, err := c.read(first, p)
					total.Add(int64(n))
					return n, err
				}))
				took := secondTry(t, first)
				if took != c.took {
					t.Errorf("second try after %s, want %s", took, c.took)
				}
				time.Sleep(time.Second) // the last Read may still be under way
				if n := total.Load(); n > c.max {
					t.Errorf("%d bytes read, want no more than %d", n, c.max)
				}
				bodies.wantClosed(t)
			}) // a goroutine that is left fails the test here
		})
	}
	t.Run("none", func(t *testing.T) { secondTry(t, nil) })
	t.Run("read to its end", func(t *testing.T) {
		content := bytes.NewReader(make([]byte, 64<<10))
		secondTry(t, io.NopCloser(content))
		if content.Len() > 0 {
			t.Errorf("%d bytes left, so the connection can't be used again", content.Len())
		}
	})
	t.Run("its connection is used again", func(t *testing.T) {
		a := new(expecter)
		srv := serve(t, a, "HTTP/1")
		tr := a.over(t, srv.Client().Transport)
		for range 10 {
			a.revoke()
			send(t, tr, request(t, "GET", srv.URL, nil))
		}
		if n := a.conns.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
	overBoth(t, newDripper, func(t *testing.T, d *dripper, srv *httptest.Server) {
		tr := d.over(t, srv.Client().Transport)
		d.revoked.Store(1)
		wantAnswer(t, tr, request(t, "GET", srv.URL, nil), 200, "GET "+digest(http.NoBody))
		select {
		case <-d.left:
		case <-time.After(10 * time.Second):
			t.Error("the server still sends the body of the 401")
		}
	})
}

// secondTry has a Transport get a 401 with that body, and returns how long it
// took to try again.
func secondTry(t *testing.T, body io.ReadCloser) (took time.Duration) {
	t.Helper()
	m, start := new(mint), time.Now()
	m.revoked.Store(1)
	tr := m.over(t, baseFunc(func(req *http.Request) (*http.Response, error) {
		if !m.good(req) {
			return answerTo(req, 401, body), nil
		}
		took = time.Since(start)
		return answerTo(req, 200, http.NoBody), nil
	}))
	wantAnswer(t, tr, request(t, "GET", "https://api.test/", nil), 200, "")
	return took
}

// A dripper sends the body of a 401 for as long as somebody listens.
type dripper struct {
	tokenAPI
	left chan struct{}
}

func newDripper() *dripper { return &dripper{left: make(chan struct{})} }

func (d *dripper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.good(r) {
		d.tokenAPI.ServeHTTP(w, r)
		return
	}
	defer close(d.left)
	unauthorized(w)
	for r.Context().Err() == nil {
		io.WriteString(w, ".")
		http.NewResponseController(w).Flush()
		time.Sleep(time.Millisecond)
	}
}

func TestRule026_failed_refresh_leaves_the_401(t *testing.T) {
	revokedGrant := &transport.RefreshError{Kind: transport.LoginRequired, Err: errors.New("invalid_grant")}
	for _, c := range []struct {
		name string
		fail func() error
		want transport.Kind
	}{
		{"server down", func() error { return errors.New("503") }, transport.Transient},
		{"login required", func() error { return revokedGrant }, transport.LoginRequired},
		{"misconfigured", func() error { return &transport.RefreshError{Kind: transport.Misconfigured} }, transport.Misconfigured},
		{"the server's own timeout", func() error { return context.DeadlineExceeded }, transport.Transient},
		{"panic", func() error { panic("in a callback") }, transport.Transient},
	} {
		t.Run(c.name, func(t *testing.T) {
			overBoth(t, newTokenAPI, func(t *testing.T, a *tokenAPI, srv *httptest.Server) {
				a.before = func(n int64) error {
					if n > 1 {
						return c.fail()
					}
					return nil
				}
				tr := a.over(t, srv.Client().Transport)
				a.revoked.Store(1)
				req := request(t, "POST", srv.URL, strings.NewReader("content"))
				// Timeout makes http.Client wrap the body.
				resp, err := (&http.Client{Transport: tr, Timeout: time.Minute}).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				wantOriginal401(t, resp, c.want)
				a.wantSeen(t, "token-1")
			})
		})
	}
	t.Run("store fails", func(t *testing.T) {
		a, store := new(tokenAPI), &failingStore{}
		tr := newTransport(t, transport.Config{Base: a, Source: newSource(t, transport.SourceConfig{Refresh: a.refresh, Store: store, Key: "k"})})
		send(t, tr, request(t, "GET", "https://api.test/", nil))
		a.revoke()
		store.broken.Store(true)
		wantRefused(t, tr, transport.StoreFailed)
	})
	t.Run("source closed", func(t *testing.T) {
		a := new(tokenAPI)
		source := a.source(t)
		tr := newTransport(t, transport.Config{Source: source, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
			source.Close(t.Context())
			return a.RoundTrip(req)
		})})
		a.revoked.Store(1)
		resp := wantRefused(t, tr, transport.Cancelled)
		if err := transport.RefreshErrorOf(resp); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("%v, want ErrClosed", err)
		}
	})
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 200 << 10} {
		t.Run(fmt.Sprintf("broken after %d bytes", size), func(t *testing.T) {
			m, content := &mint{before: secondFails}, randomBytes(size, 26)
			tr := m.over(t, baseFunc(func(req *http.Request) (*http.Response, error) {
				broken := iotest.ErrReader(io.ErrUnexpectedEOF)
				return answerTo(req, 401, io.NopCloser(io.MultiReader(bytes.NewReader(content), broken))), nil
			}))
			m.revoked.Store(1)
			resp, err := tr.RoundTrip(request(t, "GET", "https://api.test/", nil))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); !bytes.Equal(got, content) || err != io.ErrUnexpectedEOF {
				t.Errorf("%d bytes and %v, want all %d and the Base's error", len(got), err, size)
			}
		})
	}
	t.Run("nothing failed", func(t *testing.T) {
		a := new(tokenAPI)
		resp, err := a.over(t, a).RoundTrip(request(t, "GET", "https://api.test/", nil))
		if err != nil || transport.RefreshErrorOf(resp) != nil || transport.RefreshErrorOf(nil) != nil {
			t.Errorf("%v, %v; want no error", err, transport.RefreshErrorOf(resp))
		}
	})
}

// Where the token comes from the API's own host, the 401 must not keep the last
// connection from the refresh.
func TestTransport_refresh_over_the_same_connection(t *testing.T) {
	a := new(tokenAPI)
	srv := serve(t, a, "HTTP/1")
	base := srv.Client().Transport.(*http.Transport)
	base.MaxConnsPerHost = 1
	a.before = func(int64) error { // is a request to the same host
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		resp, err := base.RoundTrip(request(t, "POST", srv.URL+"/token", nil).WithContext(ctx))
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	a.revoked.Store(1)
	wantAnswer(t, a.over(t, base), request(t, "GET", srv.URL, nil), 200, "GET "+digest(http.NoBody))
}

func wantRefused(t *testing.T, tr *transport.Transport, want transport.Kind) *http.Response {
	t.Helper()
	resp, err := tr.RoundTrip(request(t, "GET", "https://api.test/", nil))
	if err != nil {
		t.Fatal(err)
	}
	wantOriginal401(t, resp, want)
	return resp
}

func wantOriginal401(t *testing.T, resp *http.Response, want transport.Kind) {
	t.Helper()
	if got := readAll(t, resp); resp.StatusCode != 401 || got != sorry || resp.Header.Get("WWW-Authenticate") != invalidToken {
		t.Errorf("%d %q %v, want the 401 as it came", resp.StatusCode, got, resp.Header)
	}
	var re *transport.RefreshError
	if err := transport.RefreshErrorOf(resp); !errors.As(err, &re) || re.Kind != want {
		t.Errorf("refresh error %v, want %s", err, want)
	}
}

// A failingStore fails when it is told to.
type failingStore struct {
	tokenstore.Memory
	broken atomic.Bool
}

func (s *failingStore) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	if s.broken.Load() {
		return errors.New("disk on fire")
	}
	return s.Memory.Update(ctx, key, next)
}
