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

// tombstone is what a logout leaves of rec.
func tombstone(rec tokenstore.Record) tokenstore.Record {
	return tokenstore.Record{Session: rec.Session, Generation: rec.Generation + 1, Ended: true}
}

func TestTombstone(t *testing.T) {
	bubble(t, "found by a flight", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		shelf.put(t, tombstone(shelf.record(t)))
		time.Sleep(2 * time.Minute)
		for range 10 {
			wantError(t, src, transport.LoginRequired)
		}
		srv.wantCalls(t, 2)
		shelf.set(nil) // who knows of it writes it again
		wantError(t, src, transport.LoginRequired)
		if !shelf.record(t).Ended {
			t.Error("the tombstone was not written again")
		}
		mustSet(t, src, srv.login())
		wantToken(t, src, "at3")
	})
	bubble(t, "found by a new process", func(t *testing.T) {
		shelf, srv, _ := running(t, nil)
		shelf.put(t, tombstone(shelf.record(t)))
		src := newSource(t, shelf.config(srv, nil))
		wantError(t, src, transport.LoginRequired)
		if st := src.Status(); st.State != transport.StateLoggedOut {
			t.Errorf("Status = %+v", st)
		}
		srv.wantCalls(t, 2)
	})
	bubble(t, "logout during a refresh", func(t *testing.T) {
		shelf, _, src := running(t, nil)
		time.Sleep(2 * time.Minute)
		shelf.breakAt("save", func() error { // the exclusion is lost to a logout
			shelf.put(t, tombstone(shelf.record(t)))
			return tokenstore.ErrConflict
		})
		_, _ = src.Token(t.Context(), "")
		shelf.heal()
		time.Sleep(time.Second)
		if !shelf.record(t).Ended || src.Status().Unsaved {
			t.Error("the flight brought the session back")
		}
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.LoginRequired)
	})
}

func TestUnsaved_gives_way_to_a_newer_login(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		time.Sleep(2 * time.Minute)
		shelf.breakAt("save", func() error { return tokenstore.ErrConflict })
		wantToken(t, src, "at3")
		synctest.Wait()
		login := srv.login()
		login.Session, login.Generation = tokenstore.NewSessionID(""), 1
		shelf.put(t, login)
		shelf.heal()
		time.Sleep(time.Minute)
		wantToken(t, src, "at5")
		if shelf.wantStored(t, "rt5"); src.Status().Unsaved {
			t.Error("still unsaved")
		}
		srv.wantNoReuse(t)
	})
}

// imported is the record of a session begun with a seed.
func imported(srv *server, seed string) tokenstore.Record {
	rec := srv.login()
	rec.Access, rec.Seed = nil, seed
	return rec
}

func TestSet_seed(t *testing.T) {
	bubble(t, "the same twice", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		rec := imported(srv, "s")
		for range 3 { // processes, one after the other
			src := newSource(t, shelf.config(srv, nil))
			mustSet(t, src, rec)
			wantToken(t, src, "at2")
			mustSet(t, src, rec)
			wantToken(t, src, "at2")
			mustClose(t, src)
		}
		srv.wantCalls(t, 2)
		shelf.wantStored(t, "rt2")
	})
	bubble(t, "another", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		before := shelf.record(t).Session
		mustSet(t, src, imported(srv, "other"))
		shelf.wantStored(t, "rt3")
		if got := shelf.record(t).Session; got <= before {
			t.Errorf("session %q after %q", got, before)
		}
		wantToken(t, src, "at4")
	})
	bubble(t, "the store is down at first", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		rec := imported(srv, "s")
		first := newSource(t, shelf.config(srv, nil))
		mustSet(t, first, rec)
		wantToken(t, first, "at2")
		shelf.breakAt("load", func() error { return errDisk })
		src := newSource(t, shelf.config(srv, nil))
		wantKind(t, transport.Token{}, src.Set(t.Context(), rec), transport.StoreFailed)
		wantError(t, src, transport.StoreFailed)
		shelf.heal()
		mustSet(t, src, rec)
		wantToken(t, src, "at2")
		srv.wantNoReuse(t)
	})
	bubble(t, "the store had lost it", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		rec := imported(srv, "s")
		src := newSource(t, shelf.config(srv, nil))
		mustSet(t, src, rec)
		wantToken(t, src, "at2")
		shelf.set(nil)
		mustSet(t, src, rec)
		shelf.wantStored(t, "rt2")
	})
}

func TestSet_that_can_not_be_saved(t *testing.T) {
	for _, step := range []string{"enter", "load", "save"} {
		bubble(t, step, func(t *testing.T) {
			shelf, srv, src := running(t, nil)
			shelf.breakAt(step, func() error { return errDisk })
			within(t, 2*time.Second, func() {
				wantKind(t, transport.Token{}, src.Set(t.Context(), srv.login()), transport.StoreFailed)
			})
			wantToken(t, src, "at3")
			within(t, 6*time.Second, func() { // and again, over one that is not saved
				wantKind(t, transport.Token{}, src.Set(t.Context(), srv.login()), transport.StoreFailed)
			})
			wantToken(t, src, "at4")
			shelf.heal()
			mustClose(t, src)
			shelf.wantStored(t, "rt4")
		})
	}
	bubble(t, "cancelled", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := src.Set(ctx, srv.login()); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		mustClose(t, src)
		shelf.wantStored(t, "rt3")
	})
	bubble(t, "without tokens", func(t *testing.T) {
		_, _, src := running(t, nil)
		if err := src.Set(t.Context(), tokenstore.Record{}); err == nil {
			t.Error("Set took a record without tokens")
		}
	})
	for name, fate := range map[string]error{"saved": nil, "not saved": tokenstore.ErrConflict} {
		bubble(t, "the last session hangs in the store and is "+name+" late", func(t *testing.T) {
			shelf, srv, src := running(t, nil)
			time.Sleep(2 * time.Minute)
			end := time.Now().Add(100 * time.Second)
			shelf.breakAt("save", func() error {
				if left := time.Until(end); left > 0 {
					time.Sleep(left)
					return fate
				}
				return nil
			})
			wantToken(t, src, "at3")
			within(t, time.Minute, func() {
				wantKind(t, transport.Token{}, src.Set(t.Context(), srv.login()), transport.StoreFailed)
			})
			wantToken(t, src, "at4")
			time.Sleep(time.Minute - time.Second)
			mustClose(t, src)
			shelf.wantStored(t, "rt4")
		})
	}
	bubble(t, "during a refresh", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		time.Sleep(2 * time.Minute)
		srv.delay = 5 * time.Second
		go func() { _, _ = src.Token(t.Context(), "") }()
		time.Sleep(time.Second)
		login := srv.login()
		srv.live = "rt2" // of the old session, which is refreshed meanwhile
		mustSet(t, src, login)
		wantToken(t, src, "at4")
		shelf.wantStored(t, "rt4")
	})
}

func TestForget(t *testing.T) {
	bubble(t, "during a flight", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Minute, delay: 5 * time.Second}
		src := newSource(t, shelf.config(srv, nil))
		done := make(chan error)
		go func() {
			_, err := src.Token(t.Context(), "")
			done <- err
		}()
		time.Sleep(time.Second)
		if err := src.Forget(soon(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Forget = %v", err)
		}
		if err := src.Forget(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if shelf.wantStored(t, ""); src.Status().State != transport.StateUnknown {
			t.Errorf("Status %+v", src.Status())
		}
	})
	bubble(t, "during a failing save", func(t *testing.T) {
		shelf, _, src := running(t, nil)
		failFor(shelf, time.Hour)
		time.Sleep(2 * time.Minute)
		wantToken(t, src, "at3")
		within(t, 4*time.Second, func() {
			if err := src.Forget(t.Context()); err != nil {
				t.Error(err)
			}
		})
		shelf.heal()
		time.Sleep(2 * time.Minute)
		if shelf.wantStored(t, ""); src.Status().Unsaved {
			t.Error("still unsaved")
		}
	})
	bubble(t, "corrupt", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		shelf.set([]byte("garbage"))
		if err := src.Forget(t.Context()); err != nil {
			t.Error(err)
		}
		if shelf.get() != nil {
			t.Error("the bytes are still there")
		}
		mustSet(t, src, srv.login())
	})
}
