package transport_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// running returns a Source with a session that it has refreshed once, on a shelf:
// rt2 is stored.
func running(t *testing.T, tp *tape) (*shelf, *server, *transport.Source) {
	t.Helper()
	shelf, srv := newShelf(), &server{lifetime: time.Minute}
	src := newSource(t, shelf.config(srv, tp))
	mustSet(t, src, srv.login())
	time.Sleep(2 * time.Minute)
	wantToken(t, src, "at2")
	if tp != nil {
		synctest.Wait()
		tp.want(t, "began expired", "ended exchanged")
	}
	return shelf, srv, src
}

func TestStore_lost_the_record(t *testing.T) {
	bubble(t, "gone", func(t *testing.T) {
		tp := new(tape)
		shelf, srv, src := running(t, tp)
		shelf.set(nil)
		time.Sleep(2 * time.Minute)
		wantToken(t, src, "at3")
		mustClose(t, src)
		shelf.wantStored(t, "rt3")
		tp.want(t, "began expired", "restored gone", "ended exchanged")
		srv.wantNoReuse(t)
	})
	bubble(t, "rolled back", func(t *testing.T) {
		tp := new(tape)
		shelf, srv, src := running(t, tp)
		before := shelf.get()
		time.Sleep(2 * time.Minute)
		wantToken(t, src, "at3")
		shelf.set(before)
		time.Sleep(2 * time.Minute)
		wantToken(t, src, "at4")
		mustClose(t, src)
		tp.want(t, "began expired", "ended exchanged", "began expired", "restored older", "ended exchanged")
		srv.wantNoReuse(t)
	})
	bubble(t, "gone, and the write fails", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		shelf.set(nil)
		shelf.breakAt("save", func() error { return tokenstore.ErrConflict })
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.StoreFailed)
		srv.wantCalls(t, 2)
		if !src.Status().Unsaved {
			t.Error("Status does not say that the record is not stored")
		}
		shelf.heal()
		mustClose(t, src)
		shelf.wantStored(t, "rt2")
	})
	bubble(t, "gone, and the write hangs on", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		shelf.set(nil)
		failFor(shelf, time.Hour)
		time.Sleep(2 * time.Minute)
		within(t, 32*time.Second, func() { wantError(t, src, transport.StoreFailed) })
		within(t, 5*time.Second, func() { // a login does not wait for that
			wantKind(t, transport.Token{}, src.Set(t.Context(), srv.login()), transport.StoreFailed)
		})
		wantToken(t, src, "at3")
		shelf.heal()
		mustClose(t, src)
		shelf.wantStored(t, "rt3")
	})
	bubble(t, "gone, and refused", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		srv.fail = func(int) error { return invalidGrant() }
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.LoginRequired)
		shelf.set(nil)
		wantError(t, src, transport.LoginRequired)
		shelf.wantStored(t, "")
	})
	bubble(t, "rolled back, and refused", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		first := shelf.record(t)
		first.Generation, first.RefreshToken = 1, tokenstore.NewSecret("rt1")
		srv.fail = func(int) error { return invalidGrant() }
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.LoginRequired)
		shelf.put(t, first)
		wantError(t, src, transport.LoginRequired)
		shelf.wantStored(t, "rt2") // nobody else may send rt1
	})
}

func TestStore_unreadable(t *testing.T) {
	bubble(t, "corrupt", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		garbage := []byte(`{"v":1,"session":`)
		shelf.set(garbage)
		wantToken(t, src, "at2")
		time.Sleep(2 * time.Minute)
		for range 100 {
			if re := wantError(t, src, transport.StoreFailed); !errors.Is(re, tokenstore.ErrCorrupt) {
				t.Errorf("error %v, want ErrCorrupt", re)
			}
			time.Sleep(time.Minute)
		}
		if srv.wantCalls(t, 2); !bytes.Equal(shelf.get(), garbage) {
			t.Error("the bytes were changed")
		}
		other := newSource(t, shelf.config(srv, nil))
		if re := wantError(t, other, transport.StoreFailed); !errors.Is(re, tokenstore.ErrCorrupt) {
			t.Errorf("error %v, want ErrCorrupt", re)
		}
		mustSet(t, other, srv.login())
		shelf.wantStored(t, "rt3")
	})
	bubble(t, "load fails", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		shelf.breakAt("load", func() error { return errDisk })
		time.Sleep(50 * time.Second) // stale
		wantToken(t, src, "at2")
		time.Sleep(time.Minute)
		if re := wantError(t, src, transport.StoreFailed); !errors.Is(re, errDisk) {
			t.Errorf("error %v", re)
		}
		srv.wantCalls(t, 2)
	})
	bubble(t, "exclusion not to be had", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		release := make(chan struct{})
		go func() {
			_ = shelf.Funcs.Update(context.Background(), shelfKey, func(context.Context, []byte) ([]byte, error) {
				<-release
				return nil, tokenstore.ErrUnchanged
			})
		}()
		time.Sleep(50 * time.Second)
		wantToken(t, src, "at2")
		time.Sleep(time.Minute)
		within(t, 31*time.Second, func() { wantError(t, src, transport.StoreFailed) })
		srv.wantCalls(t, 2)
		close(release)
		time.Sleep(time.Minute)
		wantToken(t, src, "at3")
	})
}

// hang makes every step of that name wait for the channel it returns.
func hang(shelf *shelf, step string) chan struct{} {
	release := make(chan struct{})
	shelf.breakAt(step, func() error { <-release; return nil })
	return release
}

func TestStore_hangs(t *testing.T) {
	for _, step := range []string{"enter", "load", "save", "saved", "leave"} {
		bubble(t, step, func(t *testing.T) {
			shelf, srv, src := running(t, nil)
			time.Sleep(2 * time.Minute)
			release := hang(shelf, step)
			within(t, time.Second, func() {
				tok, err := src.Token(soon(t, time.Second), "")
				wantKind(t, tok, err, transport.Cancelled)
			})
			within(t, 80*time.Second, func() { _, _ = src.Token(t.Context(), "") })
			if err := src.Set(soon(t, 5*time.Minute), srv.login()); err == nil {
				t.Error("Set worked on a store that hangs")
			}
			n := srv.calls()
			tok := mustToken(t, src).Reveal() // the login is used nevertheless
			if err := src.Forget(soon(t, 5*time.Second)); err == nil {
				t.Error("Forget worked on a store that hangs")
			}
			within(t, 5*time.Second, func() {
				if err := src.Close(soon(t, 5*time.Second)); err == nil {
					t.Error("Close worked although the login is not saved")
				}
			})
			wantClosed(t, src)
			close(release)
			if srv.wantCalls(t, n); tok == "at2" {
				t.Errorf("token %s, want that of the login", tok)
			}
			srv.wantNoReuse(t)
		})
	}
	bubble(t, "Load of a new process", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Minute}
		release := hang(shelf, "load")
		src := newSource(t, shelf.config(srv, nil))
		wantTook(t, 31*time.Second, func() { wantError(t, src, transport.StoreFailed) })
		close(release)
	})
}

func wantClosed(t *testing.T, src *transport.Source) {
	t.Helper()
	if tok, err := src.Token(t.Context(), ""); !errors.Is(err, transport.ErrClosed) || !tok.IsZero() {
		t.Errorf("Token = %v, %v, want ErrClosed", tok, err)
	}
}

func TestStore_calls_twice(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{lifetime: time.Minute}
		store := twice{new(tokenstore.Memory)}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Store: store, Key: shelfKey})
		for range 10 {
			mustToken(t, src)
			time.Sleep(time.Minute)
		}
		srv.wantNoReuse(t)
	})
	bubble(t, "never", func(t *testing.T) {
		src := newSource(t, transport.SourceConfig{Refresh: new(server).refresh, Store: never{}, Key: shelfKey})
		wantError(t, src, transport.StoreFailed)
	})
}

// A twice is a store that tries a write that conflicted from the start again.
type twice struct{ *tokenstore.Memory }

func (s twice) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	return s.Memory.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
		if _, err := next(ctx, old); err != nil {
			return nil, err
		}
		return next(ctx, old)
	})
}

// A never is a store whose Update does nothing.
type never struct{}

func (never) Load(context.Context, string) ([]byte, error) { return nil, tokenstore.ErrNotFound }
func (never) Delete(context.Context, string) error         { return nil }
func (never) Update(context.Context, string, func(context.Context, []byte) ([]byte, error)) error {
	return nil
}
