package transport_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A server stands for an authorization server with single-use refresh tokens, of
// which a reused one ends the session.
type server struct {
	lifetime time.Duration
	delay    time.Duration
	fail     func(n int64) error // instead of the n-th answer
	calls    atomic.Int64
	current  atomic.Pointer[string]
}

func (s *server) refresh(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
	n := s.calls.Add(1)
	start := time.Now()
	if s.delay > 0 {
		time.Sleep(s.delay)
	}
	if s.fail != nil {
		if err := s.fail(n); err != nil {
			return tokenstore.Record{}, err
		}
	}
	if want := s.current.Load(); want != nil && *want != old.RefreshToken.Reveal() {
		return tokenstore.Record{}, &transport.RefreshError{Kind: transport.LoginRequired, Err: errors.New("refresh token reused")}
	}
	next := fmt.Sprintf("rt%d", n)
	s.current.Store(&next)
	old.RefreshToken = tokenstore.NewSecret(next)
	old.SetToken(tokenstore.AccessToken{
		Target: target, Token: tokenstore.NewSecret(fmt.Sprintf("at%d", n)), Issued: start, Expiry: start.Add(s.lifetime),
	})
	return old, nil
}

func newSource(t *testing.T, cfg transport.SourceConfig) *transport.Source {
	t.Helper()
	s, err := transport.NewSource(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSourceRefreshesOnceALifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{lifetime: time.Hour, delay: time.Second}
		s := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
		for range 10 * 60 {
			if _, err := s.Token(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if n := srv.calls.Load(); n != 11 {
			t.Errorf("%d refreshes in ten hours, want 11", n)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
