package transport_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// canary is in every access token of these tests, so that one is found wherever
// it gets to.
const canary = "CANARY"

// An issuer makes access tokens, canary and a number, and counts them.
type issuer struct{ calls atomic.Int64 }

func (i *issuer) refresh(_ context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
	text := fmt.Sprintf("%s%d", canary, i.calls.Add(1))
	old.SetToken(tokenstore.AccessToken{Target: target, Token: tokenstore.NewSecret(text), Expiry: time.Now().Add(time.Hour)})
	return old, nil
}

// refreshes is how many tokens were made after the first one.
func (i *issuer) refreshes() int64 { return i.calls.Load() - 1 }

// A wire is a Base that notes what it gets, and sends nothing anywhere.
type wire struct {
	answer func(req *http.Request) *http.Response // nil: 200

	mu   sync.Mutex
	seen []*http.Request // copies
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	w.mu.Lock()
	w.seen = append(w.seen, req.Clone(req.Context()))
	w.mu.Unlock()
	resp := reply(http.StatusOK)
	if w.answer != nil {
		resp = w.answer(req)
	}
	resp.Request = req
	return resp, nil
}

// tokens are the Authorization headers of the requests noted.
func (w *wire) tokens() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := []string{}
	for _, req := range w.seen {
		list = append(list, strings.Join(req.Header["Authorization"], "|"))
	}
	return list
}

// reply is a response with that status and a body; the header is names and values
// in turn.
func reply(status int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: status, Header: h, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(fmt.Sprint("status ", status))), ContentLength: -1,
	}
}

// signedIn returns a client over base with a session, which cfg may change.
func signedIn(t *testing.T, base http.RoundTripper, cfg transport.Config) (*http.Client, *issuer) {
	t.Helper()
	i := new(issuer)
	if cfg.Source == nil {
		cfg.Source = newSource(t, transport.SourceConfig{Refresh: i.refresh})
	}
	cfg.Base = base
	tr, err := transport.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: tr}, i
}

// fetch sends a request with c and closes what comes back.
func fetch(t *testing.T, c *http.Client, url string) error {
	t.Helper()
	resp, err := c.Get(url)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// wantSent checks the Authorization headers that w has seen: "1" is that with
// the first token, "" none.
func wantSent(t *testing.T, w *wire, want ...string) {
	t.Helper()
	want = append([]string{}, want...)
	for i, n := range want {
		if n != "" {
			want[i] = "Bearer " + canary + n
		}
	}
	if got := w.tokens(); !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

// A logBuffer keeps what is logged.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// loggedIn is signedIn with everything logged to log.
func loggedIn(t *testing.T, base http.RoundTripper, log io.Writer, origins []string) *http.Client {
	t.Helper()
	h := slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug - 4})
	src := newSource(t, transport.SourceConfig{Refresh: new(issuer).refresh, Logger: slog.New(h)})
	c, _ := signedIn(t, base, transport.Config{Source: src, Origins: origins})
	return c
}
