package transport_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// The pause after a failure is the session's: a flight for another target, which
// waited for its turn meanwhile, does not ask either.
func TestFlight_heeds_a_pause_that_began_while_it_waited(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{delay: time.Second, fail: func(int) error { return errDown }}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
		go func() { _, _ = src.Token(t.Context(), "") }()
		synctest.Wait()
		tok, err := src.Token(t.Context(), "api")
		if re := wantKind(t, tok, err, transport.Transient); !errors.Is(re, errDown) || re.RetryAfter == 0 {
			t.Errorf("error %v, want that of the refresh before", re)
		}
		srv.wantCalls(t, 1)
	})
}

// While it is known that a session is over, a call looks into the store, and
// takes no exclusion for that.
func TestFlight_only_looks_while_the_session_is_over(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		tp := new(tape)
		shelf, srv, src := running(t, tp)
		srv.fail = func(int) error { return invalidGrant() }
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.LoginRequired)
		synctest.Wait()
		tp.want(t, "began expired", "ended failed", "login required")
		shelf.breakAt("enter", func() error { t.Error("the exclusion was taken"); return nil })
		refused := shelf.record(t)
		want := func(now string) {
			t.Helper()
			wantError(t, src, transport.LoginRequired)
			synctest.Wait()
			if n := tp.count(""); n != 0 {
				t.Errorf("%s: events %q", now, tp.lines)
			}
		}
		want("as it was")
		shelf.set(nil)
		want("gone")
		shelf.put(t, tombstone(refused))
		want("logged out")
	})
}

// What another stored is taken also where its access token has expired: its
// refresh token is another than the one that was refused.
func TestFlight_refreshes_what_another_stored_after_a_refusal(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		srv.fail = func(int) error { return invalidGrant() }
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.LoginRequired)
		srv.fail = nil
		shelf.put(t, srv.rotatedElsewhere(shelf.record(t)))
		time.Sleep(2 * time.Minute)
		wantToken(t, src, "at5")
		shelf.wantStored(t, "rt5")
	})
}

// Adopting what another stored ends a failure: there is a token again.
func TestFlight_adopting_is_a_success(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		tp := new(tape)
		shelf, srv, src := running(t, tp)
		srv.fail = func(int) error { return errDown }
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.Transient)
		shelf.put(t, srv.rotatedElsewhere(shelf.record(t)))
		time.Sleep(time.Second)
		wantToken(t, src, "at4")
		if st := src.Status(); st.Err != nil || st.Failures != 0 {
			t.Errorf("Status %+v", st)
		}
		synctest.Wait()
		tp.want(t, "began expired", "ended failed", "began expired", "ended adopted")
	})
}

// A server that refuses whatever another process has just stored is asked a few
// times, and no more.
func TestFlight_gives_up_on_a_record_that_keeps_changing(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		calls, tp := 0, new(tape)
		cfg := shelf.config(srv, tp)
		cfg.Refresh = func(_ context.Context, old tokenstore.Record, _ string) (tokenstore.Record, error) {
			calls++
			rec := srv.rotatedElsewhere(old)
			rec.Access[0].Expiry = time.Now().Add(-time.Minute)
			shelf.put(t, rec)
			return tokenstore.Record{}, invalidGrant()
		}
		wantError(t, newSource(t, cfg), transport.StoreFailed)
		synctest.Wait()
		if tp.want(t, "began expired", "ended failed"); calls != 4 {
			t.Errorf("%d calls, want 4", calls)
		}
	})
}

// The wait for the exclusion and the refresh have a time each.
func TestFlight_times_each_step_for_itself(t *testing.T) {
	bubble(t, "a long wait, then a slow server", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		go excludeFor(shelf, 2*time.Minute+25*time.Second)
		time.Sleep(2 * time.Minute)
		srv.delay = 14 * time.Second
		wantTook(t, 25*time.Second+srv.delay, func() { wantToken(t, src, "at3") })
	})
	bubble(t, "a slow server, then a slow store", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		time.Sleep(2 * time.Minute)
		failFor(shelf, time.Minute)
		srv.delay = 14500 * time.Millisecond
		wantTook(t, srv.delay+2*time.Second, func() { wantToken(t, src, "at3") })
	})
}

// An observer that ends its goroutine, or that is slow, costs nobody a token.
func TestFlight_answers_before_and_after_observers(t *testing.T) {
	bubble(t, "gone at the beginning", func(t *testing.T) {
		srv := &server{lifetime: time.Hour}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Observer: &transport.Observer{
			RefreshBegan: func(transport.RefreshBegan) { runtime.Goexit() },
		}})
		wantError(t, src, transport.Transient)
	})
	bubble(t, "slow at the end", func(t *testing.T) {
		srv := &server{lifetime: time.Hour}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Observer: &transport.Observer{
			RefreshEnded: func(transport.RefreshEnded) { time.Sleep(time.Minute) },
		}})
		within(t, 0, func() { wantToken(t, src, "at1") })
	})
}

// Every event says which session and which target it is about, and why.
func TestEvents_name_their_subject(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv, tp := newShelf(), &server{lifetime: time.Hour}, new(tape)
		note := func(what string, s transport.Subject) { tp.add("%s %v", what, s) }
		cfg := shelf.config(srv, nil)
		cfg.Observer = &transport.Observer{
			RefreshBegan:  func(e transport.RefreshBegan) { note("began "+string(e.Reason), e.Subject) },
			RefreshEnded:  func(e transport.RefreshEnded) { note("ended "+string(e.Reason), e.Subject) },
			SaveFailed:    func(e transport.SaveFailed) { note("save failed", e.Subject) },
			Saved:         func(e transport.Saved) { note("saved", e.Subject) },
			Restored:      func(e transport.Restored) { note("restored", e.Subject) },
			LoginRequired: func(e transport.LoginRequiredEvent) { note("login required", e.Subject) },
		}
		src := newSource(t, cfg)
		want := func(lines ...string) {
			t.Helper()
			synctest.Wait()
			tp.want(t, lines...)
		}
		rec := srv.login()
		rec.Account = "ann"
		mustSet(t, src, rec)
		if _, err := src.Token(t.Context(), "api"); err != nil {
			t.Fatal(err)
		}
		want("began none {key ann api}", "ended none {key ann api}")
		time.Sleep(59 * time.Minute)
		wantToken(t, src, "at1")
		want("began stale {key ann }", "ended stale {key ann }")
		if _, err := src.Refresh(t.Context(), mustToken(t, src)); err != nil {
			t.Error(err)
		}
		want("began rejected {key ann }", "ended rejected {key ann }")
		shelf.set(nil)
		failFor(shelf, 3*time.Second)
		time.Sleep(2 * time.Hour)
		mustToken(t, src)
		time.Sleep(time.Minute)
		want("began expired {key ann }", "restored {key ann }", "ended expired {key ann }")
		failFor(shelf, 2*time.Hour+3*time.Second)
		time.Sleep(2 * time.Hour)
		mustToken(t, src)
		time.Sleep(time.Minute)
		want("began expired {key ann }", "save failed {key ann }", "saved {key ann }", "ended expired {key ann }")
		srv.fail = func(int) error { return invalidGrant() }
		time.Sleep(2 * time.Hour)
		wantError(t, src, transport.LoginRequired)
		want("began expired {key ann }", "ended expired {key ann }", "login required {key ann }")
		if text := fmt.Sprintf("%v %+v", src, src); text != `transport.Source("key") transport.Source("key")` {
			t.Errorf("it prints as %s", text)
		}
	})
}

// A record that is written back, and can't be, ends the refresh as failed and is
// told as not saved.
func TestEvents_of_a_record_that_can_not_be_written_back(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		tp := new(tape)
		shelf, _, src := running(t, tp)
		shelf.set(nil)
		var once atomic.Bool
		shelf.breakAt("save", func() error {
			if once.Swap(true) {
				return nil
			}
			return tokenstore.ErrConflict
		})
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.StoreFailed)
		synctest.Wait()
		tp.want(t, "began expired", "save failed", "ended failed", "saved")
	})
}

// An answer without a token ends the refresh as failed, although it is saved.
func TestEvents_of_an_answer_without_a_token(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		tp := new(tape)
		cfg := shelf.config(srv, tp)
		cfg.Refresh = func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
			rec, err := srv.refresh(ctx, old, target)
			rec.Access = nil
			return rec, err
		}
		wantError(t, newSource(t, cfg), transport.Transient)
		synctest.Wait()
		tp.want(t, "began expired", "ended failed")
	})
}
