package transport_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

var errDisk = errors.New("disk full")

// failFor makes saving fail for d from now on.
func failFor(shelf *shelf, d time.Duration) {
	end := time.Now().Add(d)
	shelf.breakAt("save", func() error {
		if time.Now().Before(end) {
			return errDisk
		}
		return nil
	})
}

func TestRule056_saved_before_handed_out(t *testing.T) {
	bubble(t, "slow and failing stores", func(t *testing.T) {
		shelf, srv, tp := newShelf(), &server{lifetime: time.Minute}, new(tape)
		src := newSource(t, shelf.config(srv, tp))
		for range 200 {
			srv.delay = time.Duration(rand.N(time.Second))
			slow, end := time.Duration(rand.N(900*time.Millisecond)), time.Now().Add(srv.delay+rand.N(600*time.Millisecond))
			shelf.breakAt("save", func() error {
				if time.Now().Before(end) {
					return errDisk
				}
				time.Sleep(slow)
				return nil
			})
			tok := mustToken(t, src)
			stored, _ := shelf.ofRecord(t)
			if stored != tok.Reveal() {
				t.Errorf("handed out %q while %q is stored", tok.Reveal(), stored)
			}
			time.Sleep(time.Minute)
		}
		if n := tp.count("save failed"); n != 0 {
			t.Errorf("%d events of failed saves, want none within the grace", n)
		}
		srv.wantNoReuse(t)
	})
	bubble(t, "after the grace", func(t *testing.T) {
		shelf, srv, tp := newShelf(), &server{lifetime: time.Minute}, new(tape)
		src := newSource(t, shelf.config(srv, tp))
		failFor(shelf, 10*time.Second)
		start := time.Now()
		wantToken(t, src, "at1")
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("handed out unsaved after %s, want 2 s", took)
		}
		tp.want(t, "began none", "save failed")
		if !src.Status().Unsaved {
			t.Error("Status does not say that it is unsaved")
		}
		time.Sleep(20 * time.Second)
		shelf.wantStored(t, "rt1")
		if src.Status().Unsaved {
			t.Error("Status says that it is unsaved")
		}
		tp.want(t, "saved", "ended exchanged")
	})
	bubble(t, "failed for certain", func(t *testing.T) {
		shelf, srv, tp := newShelf(), &server{lifetime: time.Minute}, new(tape)
		src := newSource(t, shelf.config(srv, tp))
		n := 0
		shelf.breakAt("save", func() error {
			if n++; n == 1 {
				return tokenstore.ErrConflict
			}
			return nil
		})
		within(t, 0, func() { wantToken(t, src, "at1") })
		synctest.Wait() // no time passes: another may have the exclusion next
		shelf.wantStored(t, "rt1")
		tp.want(t, "began none", "save failed", "ended unsaved", "saved")
	})
}

// ofRecord returns the access and the refresh token that are stored.
func (s *shelf) ofRecord(t *testing.T) (access, refresh string) {
	t.Helper()
	rec := s.record(t)
	at, _ := rec.Token("")
	return at.Token.Reveal(), rec.RefreshToken.Reveal()
}

func TestRule057_unsaved_token_kept_and_served(t *testing.T) {
	bubble(t, "100 refreshes", func(t *testing.T) {
		shelf, srv, tp := newShelf(), &server{lifetime: time.Minute}, new(tape)
		src := newSource(t, shelf.config(srv, tp))
		for i := range 100 {
			failFor(shelf, 40*time.Second)
			for range 3 {
				wantToken(t, src, fmt.Sprintf("at%d", i+1))
				time.Sleep(time.Second)
			}
			time.Sleep(time.Minute)
			shelf.wantStored(t, fmt.Sprintf("rt%d", i+1))
		}
		srv.wantCalls(t, 100)
		srv.wantNoReuse(t)
		if n := tp.count("save failed"); n != 100 {
			t.Errorf("%d events of failed saves, want 100", n)
		}
		if n := tp.count("saved"); n != 100 {
			t.Errorf("%d events of saves at last, want 100", n)
		}
	})
	bubble(t, "expired while unsaved", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Minute}
		src := newSource(t, shelf.config(srv, nil))
		failFor(shelf, time.Hour)
		wantToken(t, src, "at1")
		start := time.Now()
		for range 100 {
			time.Sleep(30 * time.Second)
			if srv.wantCalls(t, 1); time.Since(start) > time.Minute {
				within(t, 2*time.Second, func() { wantError(t, src, transport.StoreFailed) })
			}
		}
		shelf.heal()
		time.Sleep(time.Minute)
		shelf.wantStored(t, "rt1")
		wantToken(t, src, "at2")
		srv.wantNoReuse(t)
		mustClose(t, src)
	})
	bubble(t, "the exclusion lost each time", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Minute}
		src := newSource(t, shelf.config(srv, nil))
		shelf.breakAt("save", func() error { return tokenstore.ErrConflict })
		for range 100 {
			_, _ = src.Token(t.Context(), "")
			time.Sleep(time.Minute)
		}
		srv.wantCalls(t, 1)
		shelf.heal()
		time.Sleep(time.Minute)
		shelf.wantStored(t, "rt1")
		wantToken(t, src, "at2")
		srv.wantNoReuse(t)
	})
	bubble(t, "written though it said failed", func(t *testing.T) {
		shelf, srv, tp := newShelf(), &server{lifetime: time.Minute}, new(tape)
		src := newSource(t, shelf.config(srv, tp))
		shelf.breakAt("leave", func() error { return errDisk })
		wantToken(t, src, "at1")
		shelf.heal()
		mustClose(t, src)
		shelf.wantStored(t, "rt1")
		tp.want(t, "began none", "save failed", "ended unsaved", "saved")
	})
}
