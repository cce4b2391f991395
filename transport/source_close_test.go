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

// That Close leaves nothing behind is checked by the bubbles: they fail if a
// goroutine is left.

func TestClose(t *testing.T) {
	bubble(t, "unused", func(t *testing.T) {
		src := newSource(t, transport.SourceConfig{Refresh: new(server).refresh})
		mustClose(t, src)
		mustClose(t, src)
		wantClosed(t, src)
		if err := src.Set(t.Context(), new(server).login()); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Set = %v", err)
		}
		if _, err := src.Refresh(t.Context(), transport.Token{}); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Refresh = %v", err)
		}
	})
	bubble(t, "fresh", func(t *testing.T) {
		_, _, src := running(t, nil)
		tok := mustToken(t, src)
		mustClose(t, src)
		wantClosed(t, src)
		if tok.Reveal() != "at2" {
			t.Error("a token that was handed out changed")
		}
	})
	bubble(t, "in flight", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Minute, delay: 5 * time.Second}
		src := newSource(t, shelf.config(srv, nil))
		go func() { _, _ = src.Token(t.Context(), "") }()
		time.Sleep(time.Second)
		mustClose(t, src)
		shelf.wantStored(t, "rt1")
	})
	bubble(t, "in flight, given up", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Minute, delay: 5 * time.Second}
		src := newSource(t, shelf.config(srv, nil))
		done := make(chan error)
		go func() {
			_, err := src.Token(t.Context(), "")
			done <- err
		}()
		time.Sleep(time.Second)
		if err := src.Close(soon(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close = %v", err)
		}
		if err := <-done; !errors.Is(err, transport.ErrClosed) {
			t.Errorf("the waiter got %v, want ErrClosed", err)
		}
		synctest.Wait()
		shelf.wantStored(t, "rt1") // what came of it is saved all the same
	})
	bubble(t, "unsaved, given up", func(t *testing.T) {
		shelf, _, src := running(t, nil)
		failFor(shelf, time.Hour)
		time.Sleep(2 * time.Minute)
		wantToken(t, src, "at3")
		within(t, 3*time.Second, func() {
			err := src.Close(soon(t, 3*time.Second))
			wantKind(t, transport.Token{}, err, transport.StoreFailed)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close = %v", err)
			}
		})
		wantClosed(t, src)
	})
	bubble(t, "unsaved after conflicts, given up", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		src, err := transport.NewSource(shelf.config(srv, nil)) // nobody closes it again
		if err != nil {
			t.Fatal(err)
		}
		shelf.breakAt("save", func() error { return tokenstore.ErrConflict })
		wantToken(t, src, "at1")
		time.Sleep(time.Minute)
		wantKind(t, transport.Token{}, src.Close(soon(t, 1234*time.Millisecond)), transport.StoreFailed)
	})
	bubble(t, "unsaved, and the store comes back", func(t *testing.T) {
		shelf, _, src := running(t, nil)
		failFor(shelf, 2*time.Minute+30*time.Second)
		time.Sleep(2 * time.Minute)
		wantToken(t, src, "at3")
		mustClose(t, src)
		shelf.wantStored(t, "rt3")
	})
	bubble(t, "waiting for the exclusion", func(t *testing.T) {
		shelf, _, src := running(t, nil)
		release := make(chan struct{})
		go func() {
			_ = shelf.Funcs.Update(context.Background(), shelfKey, func(context.Context, []byte) ([]byte, error) {
				<-release
				return nil, tokenstore.ErrUnchanged
			})
		}()
		time.Sleep(2 * time.Minute)
		go func() { _, _ = src.Token(t.Context(), "") }()
		time.Sleep(time.Second)
		if err := src.Close(soon(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close = %v", err)
		}
		synctest.Wait() // nothing waits for the store any more
		close(release)
	})
	bubble(t, "during a pause", func(t *testing.T) {
		_, srv, src := running(t, nil)
		srv.fail = func(int) error { return errDown }
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.Transient)
		within(t, 0, func() { mustClose(t, src) })
	})
}

func TestRefresh_ignores_its_context(t *testing.T) {
	bubble(t, "and comes back late with a token", func(t *testing.T) {
		shelf, srv, tp := newShelf(), &server{lifetime: time.Hour}, new(tape)
		cfg := shelf.config(srv, tp)
		cfg.Refresh = func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
			time.Sleep(time.Minute)
			return srv.refresh(context.Background(), old, target)
		}
		src := newSource(t, cfg)
		within(t, 16*time.Second, func() {
			if re := wantError(t, src, transport.Transient); !re.OutcomeUnknown {
				t.Errorf("error %+v, want an unknown outcome", re)
			}
		})
		within(t, 0, func() { wantError(t, src, transport.Transient) }) // it is the pause, not the turn
		time.Sleep(time.Minute)
		shelf.wantStored(t, "rt1")
		wantToken(t, src, "at1")
		srv.wantNoReuse(t)
		if st := src.Status(); st.Err != nil {
			t.Errorf("Status %+v", st)
		}
	})
	bubble(t, "a failure counts once", func(t *testing.T) {
		_, srv, src := running(t, nil)
		srv.fail = func(int) error { return errDown }
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.Transient)
		time.Sleep(time.Minute)
		if st := src.Status(); st.Failures != 1 || !errors.Is(st.Err, errDown) {
			t.Errorf("Status a minute after the failure: %+v", st)
		}
	})
	bubble(t, "a rotated token with an error", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		cfg, bad := shelf.config(srv, nil), true
		cfg.Refresh = func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
			rec, err := srv.refresh(ctx, old, target)
			if bad {
				rec.Access = []tokenstore.AccessToken{{Token: tokenstore.NewSecret("a b")}}
				rec.Extra = map[string]tokenstore.Secret{"x": tokenstore.NewSecret("no JSON")}
				err = errors.New("expires_in is no number")
			}
			return rec, err
		}
		src := newSource(t, cfg)
		wantError(t, src, transport.Transient)
		shelf.wantStored(t, "rt1")
		bad = false
		time.Sleep(time.Second)
		wantToken(t, src, "at2")
		srv.wantNoReuse(t)
	})
}
