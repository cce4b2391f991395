package transport_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// TestRandom_two_sources lets two Sources over one store live through random
// faults. No refresh token may be sent once its answer has come, the session must
// not be lost, and the store must hold the newest record in the end.
func TestRandom_two_sources(t *testing.T) {
	start, rounds := time.Now(), 0
	for ; time.Since(start) < time.Second; rounds++ {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) { newWorld(t, seed).run() })
		if t.Failed() {
			t.Fatalf("seed %d, found in round %d", seed, rounds)
		}
	}
	t.Logf("%d rounds", rounds)
}

// TestRandom_seeds are worlds that once broke.
func TestRandom_seeds(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		bubble(t, fmt.Sprint(seed), func(t *testing.T) { newWorld(t, seed).run() })
	}
}

// A world is two Sources over a shelf, a server that answers as it likes, and
// what happens to them.
type world struct {
	t       *testing.T
	rand    *rand.Rand
	shelf   *shelf
	srv     *fickle
	sources [2]*transport.Source
	log     []string
	callers sync.WaitGroup
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 0)), shelf: newShelf()}
	w.srv = &fickle{t: t, rand: rand.New(rand.NewPCG(seed, 1)), spent: map[string]bool{}}
	for i := range w.sources {
		w.start(i)
	}
	return w
}

func (w *world) start(i int) {
	w.sources[i] = newSource(w.t, transport.SourceConfig{Refresh: w.srv.refresh, Store: w.shelf, Key: shelfKey, NeedsLogin: true})
}

func (w *world) run() {
	var rec tokenstore.Record
	w.srv.rotate(&rec, "")
	mustSet(w.t, w.sources[0], rec)
	for range 60 {
		w.step()
	}
	w.srv.calm()
	w.shelf.heal()
	w.callers.Wait()
	time.Sleep(10 * time.Minute)
	for _, src := range w.sources {
		if _, err := src.Token(w.t.Context(), ""); err != nil {
			w.t.Errorf("the session is lost: %v", err)
		}
		mustClose(w.t, src)
	}
	w.shelf.wantStored(w.t, w.srv.live)
	if w.t.Failed() {
		w.t.Logf("what happened: %q", w.log)
	}
}

// step is one thing that happens.
func (w *world) step() {
	i := w.rand.IntN(len(w.sources))
	src := w.sources[i]
	kind := w.rand.IntN(10)
	w.log = append(w.log, fmt.Sprint(kind, " ", i))
	switch kind {
	case 0, 1, 2:
		for range 1 + w.rand.IntN(3) {
			w.callers.Go(func() { _, _ = src.Token(soon(w.t, 40*time.Second), "") })
		}
	case 3:
		w.callers.Go(func() {
			tok, _ := src.Token(soon(w.t, time.Second), "")
			_, _ = src.Refresh(soon(w.t, 40*time.Second), tok)
		})
	case 4, 5, 6:
		time.Sleep(time.Duration(w.rand.Int64N(int64(90 * time.Second))))
	case 7:
		step := []string{"enter", "load", "save", "saved", "leave"}[w.rand.IntN(5)]
		end := time.Now().Add(time.Duration(w.rand.Int64N(int64(time.Minute))))
		w.shelf.breakAt(step, func() error {
			if time.Now().Before(end) {
				return errDisk
			}
			return nil
		})
	case 8:
		w.shelf.heal()
	case 9:
		w.restart(i)
	}
}

// restart closes the i-th Source when the store works, and starts another.
func (w *world) restart(i int) {
	w.shelf.heal()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
	defer cancel()
	if err := w.sources[i].Close(ctx); err != nil {
		w.t.Errorf("Close: %v", err)
	}
	w.start(i)
}

// A fickle server fails, is slow, loses answers, and ends the session when a
// refresh token comes that it has answered.
type fickle struct {
	t *testing.T

	mu    sync.Mutex
	rand  *rand.Rand
	n     int
	live  string
	spent map[string]bool // answered, and the answer arrived
	lost  string          // answered, and the answer was lost: good once more
	quiet bool
}

func (f *fickle) calm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.quiet = true
}

// mood draws how the next request fares.
func (f *fickle) mood() (kind int, delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.quiet {
		return -1, 0
	}
	return f.rand.IntN(8), time.Duration(f.rand.Int64N(int64(20 * time.Second)))
}

func (f *fickle) refresh(ctx context.Context, old tokenstore.Record, _ string) (tokenstore.Record, error) {
	rt := old.RefreshToken.Reveal()
	kind, delay := f.mood()
	switch kind {
	case 0:
		return tokenstore.Record{}, errDown
	case 1: // deaf to ctx, and perhaps late
		time.Sleep(delay)
	case 2:
		select {
		case <-time.After(delay):
		case <-ctx.Done(): // it never arrived
			return tokenstore.Record{}, ctx.Err()
		}
	}
	if !f.rotate(&old, rt) {
		f.t.Errorf("%s was sent again", rt)
		return tokenstore.Record{}, invalidGrant()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if kind == 3 {
		f.lost = rt
		return tokenstore.Record{}, &transport.RefreshError{OutcomeUnknown: true, Err: errors.New("connection reset")}
	}
	f.spent[rt] = true
	return old, nil
}

// rotate answers rt, if it is good, with new tokens in rec.
func (f *fickle) rotate(rec *tokenstore.Record, rt string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spent[rt] || rt != f.live && rt != f.lost {
		return false
	}
	f.n++
	f.live = fmt.Sprintf("rt%d", f.n)
	rec.RefreshToken = tokenstore.NewSecret(f.live)
	now := time.Now()
	rec.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret(fmt.Sprintf("at%d", f.n)), Issued: now, Expiry: now.Add(time.Minute)})
	return true
}
