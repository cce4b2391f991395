package transport_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

var errDown = errors.New("503 Service Unavailable")

// about reports whether got is want, more or less a quarter, and at most slack
// more.
func about(got, want, slack time.Duration) bool {
	return got >= want*3/4 && got <= want*5/4+slack
}

func TestPause_while_valid(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv, tp := newShelf(), &server{lifetime: 24 * time.Hour}, new(tape)
		cfg := shelf.config(srv, tp)
		cfg.RefreshBefore = 2 * time.Hour
		src := newSource(t, cfg)
		end := mustToken(t, src).Expiry()
		srv.fail = func(int) error { return errDown }
		const step = 100 * time.Millisecond
		time.Sleep(22 * time.Hour)
		for ; time.Now().Before(end); time.Sleep(step) {
			within(t, 0, func() { wantToken(t, src, "at1") })
		}
		synctest.Wait()
		gaps := srv.gaps()[1:]
		for i, at := range srv.times[1:][:len(gaps)] {
			want := min(500*time.Millisecond<<min(i, 20), 5*time.Minute, end.Sub(at)/4)
			if want = max(want, 500*time.Millisecond); !about(gaps[i], want, step) {
				t.Errorf("%d. pause is %s, want %s more or less a quarter", i+1, gaps[i], want)
			}
		}
		if len(gaps) < 25 {
			t.Errorf("only %d tries", len(gaps))
		}
		if n := tp.count("ended failed"); n != len(gaps)+1 {
			t.Errorf("%d events of failures, want %d", n, len(gaps)+1)
		}
	})
}

func TestPause_while_expired(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		srv.fail = func(int) error { return errDown }
		src := newSource(t, shelf.config(srv, nil))
		const step = 50 * time.Millisecond
		for range 10 * time.Minute / step {
			re := wantError(t, src, transport.Transient)
			if st := src.Status(); st.RetryAfter != re.RetryAfter && re.RetryAfter != 0 || st.Failures != srv.calls()-1 || st.State != transport.StateExpired {
				t.Fatalf("Status %+v after %d calls, error %v", st, srv.calls()-1, re)
			}
			time.Sleep(step)
		}
		for i, gap := range srv.gaps() {
			if want := min(500*time.Millisecond<<i, 30*time.Second); !about(gap, want, step) {
				t.Errorf("%d. pause is %s, want %s more or less a quarter", i+1, gap, want)
			}
		}
		srv.fail = nil
		time.Sleep(40 * time.Second)
		mustToken(t, src)
		if st := src.Status(); st.Failures != 0 || st.Err != nil || st.RetryAfter != 0 {
			t.Errorf("Status after it worked: %+v", st)
		}
	})
}

func TestPause_retry_after(t *testing.T) {
	for _, test := range []struct{ asked, kept time.Duration }{
		{30 * time.Second, 30 * time.Second}, {10 * time.Minute, 10 * time.Minute}, {24 * time.Hour, time.Hour},
	} {
		bubble(t, "expired "+test.asked.String(), func(t *testing.T) {
			shelf, srv := expiredSession(t)
			srv.fail = func(int) error { return &transport.RefreshError{RetryAfter: test.asked, Err: errDown} }
			src := newSource(t, shelf.config(srv, nil))
			wantError(t, src, transport.Transient)
			wantPause(t, srv, src, test.kept)
		})
		bubble(t, "valid "+test.asked.String(), func(t *testing.T) {
			srv := &server{lifetime: 24 * time.Hour}
			src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, RefreshBefore: 4 * time.Hour})
			mustToken(t, src)
			srv.fail = func(int) error { return &transport.RefreshError{RetryAfter: test.asked, Err: errDown} }
			time.Sleep(22 * time.Hour)
			wantToken(t, src, "at1")
			synctest.Wait()
			srv.wantCalls(t, 2)
			time.Sleep(test.kept - time.Second)
			wantToken(t, src, "at1")
			synctest.Wait()
			srv.wantCalls(t, 2)
		})
	}
}

func TestPause_misconfigured(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		srv.fail = func(int) error {
			return &transport.RefreshError{Kind: transport.Misconfigured, Err: errors.New("invalid_client")}
		}
		src := newSource(t, shelf.config(srv, nil))
		for range 3000 {
			wantError(t, src, transport.Misconfigured)
			time.Sleep(time.Second)
		}
		for _, gap := range srv.gaps() {
			if !about(gap, 5*time.Minute, time.Second) {
				t.Errorf("pause of %s, want five minutes more or less a quarter", gap)
			}
		}
		shelf.wantStored(t, "rt1")
	})
}

func TestDoubtful(t *testing.T) {
	doubt := func(int) error {
		return &transport.RefreshError{Doubtful: true, Err: errors.New("invalid_request")}
	}
	bubble(t, "the third time with an expired token", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		srv.fail = doubt
		src := newSource(t, shelf.config(srv, nil))
		for range 2 {
			re := wantError(t, src, transport.Transient)
			time.Sleep(re.RetryAfter + 2*time.Second)
		}
		for range 100 {
			wantError(t, src, transport.LoginRequired)
		}
		srv.wantCalls(t, 1+3)
		shelf.wantStored(t, "rt1")
	})
	bubble(t, "the third time after another failure", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		src := newSource(t, shelf.config(srv, nil))
		srv.fail = func(int) error { return errDown }
		for _, kind := range []transport.Kind{transport.Transient, transport.Transient, transport.Transient, transport.LoginRequired} {
			wantError(t, src, kind)
			srv.fail = doubt
			time.Sleep(time.Minute)
		}
	})
	bubble(t, "not running", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		srv.fail = func(n int) error {
			if n%3 == 0 {
				return errDown
			}
			return doubt(n)
		}
		src := newSource(t, shelf.config(srv, nil))
		for range 12 {
			wantError(t, src, transport.Transient)
			time.Sleep(time.Minute)
		}
	})
	bubble(t, "with a valid token", func(t *testing.T) {
		srv, tp := &server{lifetime: 24 * time.Hour}, new(tape)
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Observer: tp.observer()})
		end := mustToken(t, src).Expiry()
		srv.fail = doubt
		for ; time.Now().Before(end); time.Sleep(time.Second) {
			wantToken(t, src, "at1")
		}
		if n := tp.count("login required"); n != 0 {
			t.Errorf("%d events that say that the session is over", n)
		}
	})
	bubble(t, "the loser of a race", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		cfg := shelf.config(srv, nil)
		cfg.Refresh = func(_ context.Context, old tokenstore.Record, _ string) (tokenstore.Record, error) {
			shelf.put(t, srv.rotatedElsewhere(old))
			return tokenstore.Record{}, doubt(0)
		}
		wantToken(t, newSource(t, cfg), "at2")
	})
}

func TestForeground(t *testing.T) {
	bubble(t, "a stored stale token", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour, delay: time.Second}
		mustToken(t, newSource(t, shelf.config(srv, nil)))
		time.Sleep(59 * time.Minute)
		src := newSource(t, shelf.config(srv, nil))
		wantToken(t, src, "at2") // the first is waited for
		time.Sleep(59 * time.Minute)
		within(t, 0, func() { wantToken(t, src, "at2") }) // and no other
		time.Sleep(2 * time.Second)
		wantToken(t, src, "at3")
	})
	bubble(t, "a stored fresh token gone stale", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour, delay: time.Second}
		mustToken(t, newSource(t, shelf.config(srv, nil)))
		src := newSource(t, shelf.config(srv, nil))
		wantToken(t, src, "at1")
		time.Sleep(59 * time.Minute)
		wantToken(t, src, "at2")
	})
	bubble(t, "the first fails", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour, delay: time.Second}
		mustToken(t, newSource(t, shelf.config(srv, nil)))
		time.Sleep(59 * time.Minute)
		srv.fail = func(int) error { return errDown }
		src := newSource(t, shelf.config(srv, nil))
		within(t, time.Second, func() { wantToken(t, src, "at1") })
		time.Sleep(10 * time.Second)
		within(t, 0, func() { wantToken(t, src, "at1") })
	})
	bubble(t, "after a login", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour, delay: time.Second}
		src := newSource(t, shelf.config(srv, nil))
		mustSet(t, src, srv.login())
		time.Sleep(59 * time.Minute)
		within(t, 0, func() { wantToken(t, src, "at1") })
	})
}
