package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// expiredSession returns a shelf with a session whose token has expired, and its
// server.
func expiredSession(t *testing.T) (*shelf, *server) {
	t.Helper()
	shelf, srv := newShelf(), &server{lifetime: time.Minute}
	src := newSource(t, shelf.config(srv, nil))
	mustSet(t, src, srv.login())
	time.Sleep(2 * time.Minute)
	return shelf, srv
}

// rotatedElsewhere is what another process stores after a refresh of rec.
func (s *server) rotatedElsewhere(rec tokenstore.Record) tokenstore.Record {
	n := s.begin(rec.RefreshToken.Reveal())
	s.rotate(n, rec.RefreshToken.Reveal())
	rec = rec.Clone()
	s.issue(&rec, n, "", time.Now())
	rec.Generation++
	rec.Access[0].Generation = rec.Generation
	return rec
}

func TestRule059_invalid_grant_reads_the_store_again(t *testing.T) {
	bubble(t, "rotated by another", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		cfg := shelf.config(srv, nil)
		cfg.Refresh = func(_ context.Context, old tokenstore.Record, _ string) (tokenstore.Record, error) {
			shelf.put(t, srv.rotatedElsewhere(old))
			return tokenstore.Record{}, invalidGrant()
		}
		src := newSource(t, cfg)
		wantToken(t, src, "at2")
		shelf.wantStored(t, "rt2")
		if st := src.Status(); st.Err != nil || st.State != transport.StateFresh {
			t.Errorf("Status = %+v", st)
		}
	})
	bubble(t, "rotated by another and expired since", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		cfg, first := shelf.config(srv, nil), true
		cfg.Refresh = func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
			if !first {
				return srv.refresh(ctx, old, target)
			}
			first = false
			rec := srv.rotatedElsewhere(old)
			rec.Access[0].Expiry = time.Now()
			shelf.put(t, rec)
			return tokenstore.Record{}, invalidGrant()
		}
		wantToken(t, newSource(t, cfg), "at3")
		srv.wantNoReuse(t)
	})
	bubble(t, "the same", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		before, tp := shelf.get(), new(tape)
		srv.fail = func(int) error { return invalidGrant() }
		src := newSource(t, shelf.config(srv, tp))
		wantError(t, src, transport.LoginRequired)
		if !bytes.Equal(shelf.get(), before) {
			t.Error("the record was changed")
		}
		if st := src.Status(); st.State != transport.StateLoginRequired {
			t.Errorf("Status = %+v", st)
		}
		mustClose(t, src)
		tp.want(t, "began expired", "ended failed", "login required")
	})
	bubble(t, "ended by another", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		srv.fail = func(int) error {
			rec := shelf.record(t)
			shelf.put(t, tokenstore.Record{Session: rec.Session, Generation: rec.Generation + 1, Ended: true})
			return invalidGrant()
		}
		wantError(t, newSource(t, shelf.config(srv, nil)), transport.LoginRequired)
		if !shelf.record(t).Ended {
			t.Error("the tombstone was written over")
		}
	})
}

func TestRule061_refused_token_sent_once_an_hour(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		srv.fail = func(int) error { return invalidGrant() }
		src := newSource(t, shelf.config(srv, nil))
		for range 10_000 {
			wantError(t, src, transport.LoginRequired)
		}
		srv.wantCalls(t, 1+1) // with the login
		if n := src.Status().Failures; n != 1 {
			t.Errorf("%d failures, want 1", n)
		}
		start := time.Now()
		for time.Since(start) <= 3*time.Hour+time.Minute {
			wantError(t, src, transport.LoginRequired)
			time.Sleep(30 * time.Second)
		}
		srv.wantCalls(t, 1+4)
		other := newSource(t, shelf.config(srv, nil)) // another process, where the user logs in
		srv.fail = nil
		mustSet(t, other, srv.login())
		wantToken(t, src, "at6")
		if st := src.Status(); st.Err != nil || st.Failures != 0 {
			t.Errorf("Status after the login: %+v", st)
		}
	})
}

func TestRule062_failures_for_now(t *testing.T) {
	failures := map[string]error{
		"timeout": context.DeadlineExceeded,
		"DNS":     &net.DNSError{Err: "no such host", IsNotFound: true},
		"502":     &transport.RefreshError{Err: errors.New("502 Bad Gateway")},
		"HTML":    errors.New("not JSON"),
		"429":     &transport.RefreshError{RetryAfter: 30 * time.Second, Err: errors.New("429")},
	}
	for name, failure := range failures {
		bubble(t, name, func(t *testing.T) {
			shelf, srv := expiredSession(t)
			before := shelf.get()
			srv.delay = time.Second
			srv.fail = func(int) error { return failure }
			src := newSource(t, shelf.config(srv, nil))
			if got := stampede(t, 1000, src); len(got) != 1 {
				t.Errorf("callers got %v, want one error", got)
			}
			srv.wantCalls(t, 1+1)
			re := wantError(t, src, transport.Transient)
			if !errors.Is(re, failure) && !errors.Is(re, errors.Unwrap(failure)) || re.RetryAfter <= 0 {
				t.Errorf("error %v, next try in %s", re, re.RetryAfter)
			}
			if name == "429" && re.RetryAfter != 30*time.Second {
				t.Errorf("next try in %s, want 30 s", re.RetryAfter)
			}
			wantPause(t, srv, src, re.RetryAfter)
			if !bytes.Equal(shelf.get(), before) {
				t.Error("the record was changed")
			}
			srv.fail = nil
			time.Sleep(40 * time.Second)
			wantToken(t, src, fmt.Sprint("at", srv.calls()+1))
			shelf.wantStored(t, fmt.Sprint("rt", srv.calls()))
		})
	}
}

// wantPause checks that calls fail at once for d, and that then one is tried.
func wantPause(t *testing.T, srv *server, src *transport.Source, d time.Duration) {
	t.Helper()
	before, end := srv.calls(), time.Now().Add(d)
	for time.Now().Before(end) {
		within(t, 0, func() { wantError(t, src, transport.Transient) })
		time.Sleep(max(d/100, time.Millisecond))
	}
	srv.wantCalls(t, before)
	wantError(t, src, transport.Transient)
	srv.wantCalls(t, before+1)
}
