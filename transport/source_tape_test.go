package transport_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A tape keeps the events of a Source, a line each.
type tape struct {
	mu    sync.Mutex
	lines []string
}

func (tp *tape) add(format string, args ...any) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.lines = append(tp.lines, fmt.Sprintf(format, args...))
}

func (tp *tape) observer() *transport.Observer {
	return &transport.Observer{
		RefreshBegan: func(e transport.RefreshBegan) { tp.add("began %s", e.Reason) },
		RefreshEnded: func(e transport.RefreshEnded) { tp.add("ended %s", e.Outcome) },
		Saved:        func(transport.Saved) { tp.add("saved") },
		SaveFailed:   func(transport.SaveFailed) { tp.add("save failed") },
		Restored: func(e transport.Restored) {
			tp.add("restored %s", map[bool]string{true: "gone", false: "older"}[e.Gone])
		},
		LoginRequired: func(transport.LoginRequiredEvent) { tp.add("login required") },
		Breaker: func(e transport.Breaker) {
			tp.add("breaker %s", map[bool]string{true: "open", false: "closed"}[e.Open])
		},
	}
}

// count returns how many events begin with what.
func (tp *tape) count(what string) (n int) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	for _, l := range tp.lines {
		if strings.HasPrefix(l, what) {
			n++
		}
	}
	return n
}

// want checks the events since the last check.
func (tp *tape) want(t *testing.T, lines ...string) {
	t.Helper()
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if !slices.Equal(tp.lines, lines) {
		t.Errorf("events %q, want %q", tp.lines, lines)
	}
	tp.lines = nil
}

// wantToken checks that s hands out the access token want at once.
func wantToken(t *testing.T, s *transport.Source, want string) {
	t.Helper()
	tok, err := s.Token(t.Context(), "")
	if err != nil || tok.Reveal() != want {
		t.Errorf("Token = %q, %v; want %q", tok.Reveal(), err, want)
	}
}

// wantError checks that s has no token, and says so with an error of that kind.
func wantError(t *testing.T, s *transport.Source, kind transport.Kind) *transport.RefreshError {
	t.Helper()
	tok, err := s.Token(t.Context(), "")
	return wantKind(t, tok, err, kind)
}

func wantKind(t *testing.T, tok transport.Token, err error, kind transport.Kind) *transport.RefreshError {
	t.Helper()
	re := new(transport.RefreshError)
	if !errors.As(err, &re) || re.Kind != kind || !tok.IsZero() {
		t.Errorf("got token %q, error %v; want an error of kind %q", tok.Reveal(), err, kind)
	}
	if re.Err == nil {
		t.Errorf("error %v does not say what happened", err)
	}
	if isLogin := errors.Is(err, transport.ErrLoginRequired); isLogin != (kind == transport.LoginRequired) {
		t.Errorf("errors.Is(%v, ErrLoginRequired) = %t", err, isLogin)
	}
	return re
}

// mustToken returns the access token that s hands out.
func mustToken(t *testing.T, s *transport.Source) transport.Token {
	t.Helper()
	tok, err := s.Token(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func mustSet(t *testing.T, s *transport.Source, rec tokenstore.Record) {
	t.Helper()
	if err := s.Set(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t *testing.T, s *transport.Source) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// soon is a context that ends after d.
func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// within checks that f returns in d, by the fake clock.
func within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > d {
		t.Errorf("it took %s, want no more than %s", took, d)
	}
}

// newSource returns a Source that is closed when the test ends.
func newSource(t *testing.T, cfg transport.SourceConfig) *transport.Source {
	t.Helper()
	s, err := transport.NewSource(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		_ = s.Close(ctx)
	})
	return s
}

// bubble runs f in a synctest bubble, as a subtest if name is not empty.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	if name == "" {
		synctest.Test(t, f)
		return
	}
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
