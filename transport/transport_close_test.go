package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-go/freshet/transport"
)

// A script is a Base that keeps the contract and answers what it says: a status,
// or an error for 0.
type script struct {
	*ledger
	t       *testing.T
	answers []int

	mu      sync.Mutex
	n       int
	trouble func() // called before an answer, if set
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.Body != nil {
		defer req.Body.Close()
		io.Copy(io.Discard, req.Body)
	}
	if s.n == len(s.answers) {
		s.t.Error("one request too many")
		return nil, errors.New("too many")
	}
	s.n++
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if s.trouble != nil {
		s.trouble()
	}
	status := s.answers[s.n-1]
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return answerTo(req, status, s.body("a response's", strings.NewReader(sorry))), nil
}

// A failurePoint is something that can happen to a request.
type failurePoint struct {
	name    string
	url     string // "https://api.test/" if empty
	answers []int
	before  func(n int64) error
	prepare func(*http.Request)           // if set
	trouble func(cancel func())           // if set
	config  func(*transport.SourceConfig) // if set
	status  int                           // of the response; 0 is an error
}

var (
	errOffline  = errors.New("down")
	secondFails = func(n int64) error {
		if n > 1 {
			return errOffline
		}
		return nil
	}
	failurePoints = []failurePoint{
		{name: "accepted", answers: []int{200}, status: 200},
		{name: "not mendable", answers: []int{403}, status: 403},
		{name: "sent twice", answers: []int{401, 200}, status: 200},
		{name: "rejected twice", answers: []int{401, 401}, status: 401},
		{name: "userinfo", url: "https://u:p@api.test/"},
		{name: "plain http", url: "http://api.test/"},
		{name: "no URL", prepare: func(req *http.Request) { req.URL = nil }},
		{name: "no token", before: func(int64) error { return errOffline }},
		{name: "panic in the refresh", before: func(int64) error { panic("in a callback") }},
		{name: "cancelled before", prepare: func(req *http.Request) {
			ctx, cancel := context.WithCancel(req.Context())
			cancel()
			*req = *req.WithContext(ctx)
		}},
		{name: "first try fails", answers: []int{0}},
		{name: "second try fails", answers: []int{401, 0}},
		{name: "refresh fails", answers: []int{401}, before: secondFails, status: 401},
		{name: "cancelled after the 401", answers: []int{401}, trouble: func(cancel func()) { cancel() }},
		{name: "no GetBody", answers: []int{401}, prepare: func(req *http.Request) { req.GetBody = nil }, status: 401},
		{name: "GetBody fails", answers: []int{401}, prepare: func(req *http.Request) {
			req.GetBody = func() (io.ReadCloser, error) { return nil, errOffline }
		}, status: 401},
		{name: "the caller's Authorization", answers: []int{401}, prepare: func(req *http.Request) {
			req.Header.Set("Authorization", "Bearer mine")
		}, status: 401},
		{name: "the caller's Authorization, in lower case", answers: []int{401}, prepare: func(req *http.Request) {
			req.Header["authorization"] = []string{"Bearer mine"}
		}, status: 401},
		{name: "the caller's Authorization, to nothing", answers: []int{0}, prepare: func(req *http.Request) {
			req.Header["Authorization"] = nil
		}},
		{name: "no origin", url: "ftp://api.test/", answers: []int{401}, status: 401},
		{name: "panics in an Observer", answers: []int{401, 401}, status: 401, config: func(cfg *transport.SourceConfig) {
			cfg.Observer = &transport.Observer{
				Rejected:     func(transport.Rejected) { panic("in a callback") },
				RefreshBegan: func(transport.RefreshBegan) { panic("in a callback") },
				RefreshEnded: func(transport.RefreshEnded) { panic("in a callback") },
			}
		}},
		{name: "panic in Observer.Bare", url: "ftp://api.test/", answers: []int{200}, status: 200, config: func(cfg *transport.SourceConfig) {
			cfg.Observer = &transport.Observer{Bare: func(transport.Bare) { panic("in a callback") }}
		}},
	}
)

func TestRule028_body_is_closed_once(t *testing.T) {
	for _, p := range failurePoints {
		t.Run(p.name, p.check)
	}
	t.Run("over a network", func(t *testing.T) {
		overBoth(t, newTokenAPI, func(t *testing.T, a *tokenAPI, srv *httptest.Server) {
			bodies, tr := new(ledger), a.over(t, srv.Client().Transport)
			a.revoked.Store(1)
			send(t, tr, bodies.request(t, "POST", srv.URL, "content"))
			srv.Close()
			if resp, err := tr.RoundTrip(bodies.request(t, "POST", srv.URL, "content")); err == nil {
				t.Errorf("%v, want an error", resp)
			}
			bodies.wantClosed(t)
		})
	})
}

func (p *failurePoint) check(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &script{ledger: new(ledger), t: t, answers: p.answers}
	if p.trouble != nil {
		s.trouble = func() { p.trouble(cancel) }
	}
	url := p.url
	if url == "" {
		url = "https://api.test/"
	}
	req := s.request(t, "POST", url, "content").WithContext(ctx)
	if p.prepare != nil {
		p.prepare(req)
	}
	cfg := transport.SourceConfig{Refresh: (&mint{before: p.before}).refresh}
	if p.config != nil {
		p.config(&cfg)
	}
	resp, err := newTransport(t, transport.Config{Base: s, Source: newSource(t, cfg)}).RoundTrip(req)
	p.wantOutcome(t, resp, err)
	if s.n != len(p.answers) {
		t.Errorf("%d requests sent, want %d", s.n, len(p.answers))
	}
	s.wantClosed(t)
}

// wantOutcome closes the body of resp, for the first time.
func (p *failurePoint) wantOutcome(t *testing.T, resp *http.Response, err error) {
	t.Helper()
	if (resp == nil) == (err == nil) {
		t.Fatalf("%v and %v, want one of them", resp, err)
	}
	if err != nil {
		if p.status != 0 {
			t.Fatalf("%v, want status %d", err, p.status)
		}
		return
	}
	if resp.StatusCode != p.status {
		t.Errorf("status %d, want %d", resp.StatusCode, p.status)
	}
	if got := readAll(t, resp); got != sorry {
		t.Errorf("body %q, want %q", got, sorry)
	}
}
