package transport_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// firstWait is how long the first refresh of a process is waited for while the
// token that was stored still serves.
const firstWait = 5 * time.Second

// TestForeground_is_bounded: a server or another process that hangs must not keep
// a caller from a token that works.
func TestForeground_is_bounded(t *testing.T) {
	for name, hang := range map[string]func(*shelf, *server, time.Duration){
		"the server hangs":    func(_ *shelf, srv *server, d time.Duration) { srv.delay = d },
		"another excludes us": func(shelf *shelf, _ *server, d time.Duration) { go excludeFor(shelf, d) },
	} {
		bubble(t, name, func(t *testing.T) {
			shelf, srv := newShelf(), &server{lifetime: time.Hour}
			mustToken(t, newSource(t, shelf.config(srv, nil)))
			time.Sleep(59 * time.Minute) // stale
			hang(shelf, srv, 12*time.Second)
			synctest.Wait()
			src := newSource(t, shelf.config(srv, nil))
			wantTook(t, firstWait, func() { wantToken(t, src, "at1") })
			wantTook(t, 0, func() { wantToken(t, src, "at1") })
			time.Sleep(7 * time.Second) // nobody asks, and the refresh goes on
			synctest.Wait()
			shelf.wantStored(t, "rt2")
			wantTook(t, 0, func() { wantToken(t, src, "at2") })
			srv.wantCalls(t, 2)
			srv.wantNoReuse(t)
		})
	}
}

// Where there is nothing to hand out meanwhile, callers wait.
func TestForeground_waits_for_an_expired_token(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		srv.delay = 12 * time.Second
		wantTook(t, srv.delay, func() { wantToken(t, newSource(t, shelf.config(srv, nil)), "at2") })
	})
}

// A token that was fresh when it was loaded is no other case.
func TestForeground_is_bounded_after_a_fresh_load(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		mustToken(t, newSource(t, shelf.config(srv, nil)))
		src := newSource(t, shelf.config(srv, nil))
		wantToken(t, src, "at1")
		time.Sleep(59 * time.Minute)
		srv.delay = 12 * time.Second
		wantTook(t, firstWait, func() { wantToken(t, src, "at1") })
		wantTook(t, 0, func() { wantToken(t, src, "at1") })
	})
}

// excludeFor holds the exclusion for d, as another process would.
func excludeFor(shelf *shelf, d time.Duration) {
	_ = shelf.Funcs.Update(context.Background(), shelfKey, func(context.Context, []byte) ([]byte, error) {
		time.Sleep(d)
		return nil, tokenstore.ErrUnchanged
	})
}

// wantTook checks how long f takes, by the fake clock.
func wantTook(t *testing.T, want time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if got := time.Since(start); got != want {
		t.Errorf("it took %s, want %s", got, want)
	}
}
