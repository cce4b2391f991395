package transport_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/transport"
)

func TestRule024_unrepeatable_body_is_not_sent_again(t *testing.T) {
	const content = "sent through a pipe"
	pipe := func(t *testing.T, method, url string) *http.Request {
		r, w := io.Pipe()
		go func() {
			io.WriteString(w, content)
			w.Close()
		}()
		return request(t, method, url, r)
	}
	failing := func(t *testing.T, method, url string) *http.Request {
		req := request(t, method, url, strings.NewReader(content))
		req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("the file is gone") }
		return req
	}
	whole := func(t *testing.T, method, url string) *http.Request {
		return request(t, method, url, strings.NewReader(content))
	}
	idempotent := transport.Retry{IdempotentOnly: true}
	for _, c := range []struct {
		name, method string
		make         func(t *testing.T, method, url string) *http.Request
		retry        transport.Retry
	}{
		{"no GetBody", "POST", pipe, transport.Retry{}},
		{"no GetBody, idempotent", "PUT", pipe, idempotent},
		{"GetBody fails", "POST", failing, transport.Retry{}},
		{"method not idempotent", "POST", whole, idempotent},
	} {
		t.Run(c.name, func(t *testing.T) {
			overBoth(t, newTokenAPI, func(t *testing.T, a *tokenAPI, srv *httptest.Server) {
				tr := newTransport(t, transport.Config{Base: srv.Client().Transport, Source: a.source(t), Retry: c.retry})
				ok := c.method + " " + digest(strings.NewReader(content))
				wantAnswer(t, tr, c.make(t, c.method, srv.URL), 200, ok)
				a.revoke()
				wantAnswer(t, tr, c.make(t, c.method, srv.URL), 401, sorry)
				a.wantAsked(t, 2)
				wantAnswer(t, tr, c.make(t, c.method, srv.URL), 200, ok)
				a.wantSeen(t, "token-1", "token-1", "token-2")
				a.wantAsked(t, 2)
			})
		})
	}
}

// An earlyAPI answers 401 before it reads the body, and leaves the connection
// open meanwhile.
type earlyAPI struct {
	tokenAPI
	again chan struct{} // closed when the request comes again
}

func newEarlyAPI() *earlyAPI { return &earlyAPI{again: make(chan struct{})} }

func (a *earlyAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.good(r) {
		close(a.again)
		a.tokenAPI.ServeHTTP(w, r)
		return
	}
	a.note(r)
	c := http.NewResponseController(w)
	c.EnableFullDuplex()
	w.Header().Set("Content-Length", fmt.Sprint(len(sorry)))
	unauthorized(w)
	c.Flush()
	select {
	case <-a.again:
	case <-r.Context().Done():
	}
}

func TestRule029_early_401_leaves_the_first_body_alone(t *testing.T) {
	content := randomBytes(10<<20, 29)
	overBoth(t, newEarlyAPI, func(t *testing.T, a *earlyAPI, srv *httptest.Server) {
		tr, bodies := a.over(t, srv.Client().Transport), new(ledger)
		req := request(t, "POST", srv.URL, bytes.NewReader(content))
		req.Body = bodies.body("the first", bytes.NewReader(content))
		req.GetBody = func() (io.ReadCloser, error) { return bodies.body("the second", bytes.NewReader(content)), nil }
		a.revoked.Store(1)
		wantAnswer(t, tr, req, 200, "POST "+digest(bytes.NewReader(content)))
		a.wantSeen(t, "token-1", "token-2")
		bodies.wantClosed(t)
		if n := len(bodies.bodies); n != 2 {
			t.Errorf("%d bodies, want 2", n)
		}
	})
	// As net/http's, this Base reads the body while the 401 is handled, and the
	// race detector sees who else touches it.
	t.Run("still being read", func(t *testing.T) {
		a, bodies, second := new(tokenAPI), new(ledger), make(chan struct{})
		tr := a.over(t, baseFunc(func(req *http.Request) (*http.Response, error) {
			if a.good(req) {
				close(second)
				return a.RoundTrip(req)
			}
			go func() {
				defer req.Body.Close()
				io.CopyN(io.Discard, req.Body, 3)
				<-second
				io.Copy(io.Discard, req.Body)
			}()
			return answerTo(req, 401, http.NoBody), nil
		}))
		a.revoked.Store(1)
		wantAnswer(t, tr, bodies.request(t, "POST", "https://api.test/", "content"), 200, "POST "+digest(strings.NewReader("content")))
		bodies.wantClosed(t)
	})
}
