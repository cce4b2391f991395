package transport_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A baseFunc is a RoundTripper for Config.Base.
type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A mint makes access tokens, token-1, token-2 and so on, each good for an hour
// if it is not revoked. The zero mint is ready.
type mint struct {
	before  func(n int64) error // called before the n-th is made
	repeat  int64               // the one that has the text of the one before
	asked   atomic.Int64        // how often it was asked for one
	revoked atomic.Int64        // the tokens up to this number
}

func (m *mint) refresh(_ context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
	n := m.asked.Add(1)
	if m.before != nil {
		if err := m.before(n); err != nil {
			return tokenstore.Record{}, err
		}
	}
	if n == m.repeat {
		n--
	}
	token := &oauth2.Token{AccessToken: fmt.Sprintf("token-%d", n), Expiry: time.Now().Add(time.Hour)}
	return transport.WithOAuth2(old, target, token)
}

func (m *mint) revoke() { m.revoked.Store(m.asked.Load()) }

// good reports whether req carries a token that is not revoked.
func (m *mint) good(req *http.Request) bool {
	var n int64
	_, err := fmt.Sscanf(req.Header.Get("Authorization"), "Bearer token-%d", &n)
	return err == nil && n > m.revoked.Load()
}

func (m *mint) wantAsked(t *testing.T, want int64) {
	t.Helper()
	if got := m.asked.Load(); got != want {
		t.Errorf("%d token requests, want %d", got, want)
	}
}

// over returns a Transport over base with the tokens of m.
func (m *mint) over(t testing.TB, base http.RoundTripper) *transport.Transport {
	t.Helper()
	return newTransport(t, transport.Config{Base: base, Source: m.source(t)})
}

func (m *mint) source(t testing.TB) *transport.Source {
	t.Helper()
	s, err := transport.NewSource(transport.SourceConfig{Refresh: m.refresh})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newTransport(t testing.TB, cfg transport.Config) *transport.Transport {
	t.Helper()
	tr, err := transport.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// A tokenAPI answers 401 to requests without a good token, and else what [digest]
// says of their body.
type tokenAPI struct {
	mint
	mu   sync.Mutex
	seen []string // the tokens, in order
}

func (a *tokenAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.note(r)
	sum := digest(r.Body)
	if !a.good(r) {
		unauthorized(w)
		return
	}
	fmt.Fprintf(w, "%s %s", r.Method, sum)
}

// RoundTrip makes a tokenAPI a Base, where a test wants no network.
func (a *tokenAPI) RoundTrip(req *http.Request) (*http.Response, error) {
	in, w := req.Clone(req.Context()), httptest.NewRecorder()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close()
	a.ServeHTTP(w, in)
	return w.Result(), nil
}

func (a *tokenAPI) note(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
}

func (a *tokenAPI) wantSeen(t *testing.T, want ...string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Equal(a.seen, want) {
		t.Errorf("the API saw %.99q, want %.99q", a.seen, want)
	}
}

const (
	invalidToken = `Bearer realm="test", error="invalid_token"`
	sorry        = "this token is no good"
)

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", invalidToken)
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, sorry)
}

// digest reads r to its end.
func digest(r io.Reader) string {
	hash := sha256.New()
	n, err := io.Copy(hash, r)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d bytes %x", n, hash.Sum(nil))
}

var protocols = []string{"HTTP/1", "HTTP/2"}

// overBoth runs test for each protocol, with a handler that newHandler makes on a
// loopback address.
func overBoth[H http.Handler](t *testing.T, newHandler func() H, test func(t *testing.T, h H, srv *httptest.Server)) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			h := newHandler()
			test(t, h, serve(t, h, protocol))
		})
	}
}

func serve(t testing.TB, h http.Handler, protocol string) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if srv.EnableHTTP2 = protocol == "HTTP/2"; srv.EnableHTTP2 {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv
}

func request(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// send returns the status and the body of the answer.
func send(t testing.TB, rt http.RoundTripper, req *http.Request) (int, string) {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, readAll(t, resp)
}

func readAll(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("reading the body: %v", err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Errorf("closing the body: %v", err)
	}
	return string(b)
}

func wantAnswer(t *testing.T, rt http.RoundTripper, req *http.Request, status int, body string) {
	t.Helper()
	if gotStatus, got := send(t, rt, req); gotStatus != status || got != body {
		t.Errorf("%d %.80q, want %d %.80q", gotStatus, got, status, body)
	}
}

// answerTo is an answer of a Base that is no server.
func answerTo(req *http.Request, status int, body io.ReadCloser) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: body, Request: req}
	if status == http.StatusUnauthorized {
		resp.Header.Set("WWW-Authenticate", invalidToken)
	}
	return resp
}

// A ledger keeps the bodies of a test, to see what becomes of them.
type ledger struct {
	mu     sync.Mutex
	bodies []*body
}

// A body counts how often it is closed.
type body struct {
	io.Reader
	name   string
	closed atomic.Int32
	gone   chan struct{} // closed by the first Close
}

func (l *ledger) body(name string, r io.Reader) *body {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &body{Reader: r, name: name, gone: make(chan struct{})}
	l.bodies = append(l.bodies, b)
	return b
}

func (b *body) Close() error {
	if b.closed.Add(1) == 1 {
		close(b.gone)
	}
	return nil
}

// request returns a request whose bodies are in the ledger.
func (l *ledger) request(t testing.TB, method, url, content string) *http.Request {
	req := request(t, method, url, strings.NewReader(content))
	req.Body = l.body("the request's", strings.NewReader(content))
	req.GetBody = func() (io.ReadCloser, error) {
		return l.body("one from GetBody", strings.NewReader(content)), nil
	}
	return req
}

// wantClosed waits for net/http, which may close a body when RoundTrip has
// returned.
func (l *ledger) wantClosed(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.bodies {
		select {
		case <-b.gone:
		case <-time.After(5 * time.Second):
		}
		if n := b.closed.Load(); n != 1 {
			t.Errorf("body closed %d times, want once: %s", n, b.name)
		}
	}
}
