package transport_test

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// blows are the ways in which a callback can leave without returning.
var blows = map[string]func(){
	"panic":  func() { panic("boom") },
	"Goexit": runtime.Goexit,
}

// A fuse blows the n-th time it is touched, and never again.
type fuse struct {
	blow func()
	left atomic.Int64
}

func (f *fuse) touch() {
	if f.left.Add(-1) == 0 {
		f.blow()
	}
}

func TestRule068_callbacks_that_do_not_return(t *testing.T) {
	for name, blow := range blows {
		for _, step := range []string{"enter", "load", "next", "save", "saved", "leave"} {
			bubble(t, name+" in the store: "+step, func(t *testing.T) {
				shelf, srv := newShelf(), &server{lifetime: time.Minute}
				f := &fuse{blow: blow}
				f.left.Store(1)
				shelf.breakAt(step, func() error { f.touch(); return nil })
				testBlown(t, shelf, srv, shelf.config(srv, nil))
			})
		}
		bubble(t, name+" in Refresh", func(t *testing.T) {
			shelf, srv := newShelf(), &server{lifetime: time.Minute}
			f := &fuse{blow: blow}
			f.left.Store(1)
			cfg := shelf.config(srv, nil)
			cfg.Refresh = func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
				f.touch()
				return srv.refresh(ctx, old, target)
			}
			testBlown(t, shelf, srv, cfg)
		})
		bubble(t, name+" in Delete", func(t *testing.T) {
			shelf, srv := newShelf(), &server{lifetime: time.Minute}
			src := newSource(t, shelf.config(srv, nil))
			mustToken(t, src)
			shelf.breakAt("delete", func() error { blow(); return nil })
			wantKind(t, transport.Token{}, src.Forget(t.Context()), transport.StoreFailed)
			wantToken(t, src, "at1")
			shelf.heal()
			if err := src.Forget(t.Context()); err != nil {
				t.Error(err)
			}
			mustClose(t, src)
		})
		bubble(t, name+" in the observer", func(t *testing.T) { testObserverBlows(t, blow, false) })
		bubble(t, name+" in the logger", func(t *testing.T) { testObserverBlows(t, blow, true) })
	}
}

// testBlown checks that waiters get an error or a token, that the next call
// works, that a rotated token is saved all the same, and that Close leaves
// nothing: the bubble fails otherwise.
func testBlown(t *testing.T, shelf *shelf, srv *server, cfg transport.SourceConfig) {
	src := newSource(t, cfg)
	within(t, 4*time.Second, func() { stampede(t, 10, src) })
	time.Sleep(time.Minute)
	mustToken(t, src)
	time.Sleep(2 * time.Minute)
	mustToken(t, src)
	mustClose(t, src)
	srv.wantNoReuse(t)
	if at, _ := shelf.ofRecord(t); at == "" {
		t.Error("nothing is stored")
	}
}

// testObserverBlows checks that events which blow each time do no harm.
func testObserverBlows(t *testing.T, blow func(), log bool) {
	shelf, srv := newShelf(), &server{lifetime: time.Minute}
	cfg := shelf.config(srv, nil)
	if log {
		cfg.Logger = slog.New(blower{slog.DiscardHandler, blow})
	} else {
		cfg.Observer = &transport.Observer{
			RefreshEnded: func(transport.RefreshEnded) { blow() },
			Saved:        func(transport.Saved) { blow() },
			SaveFailed:   func(transport.SaveFailed) { blow() },
			Restored:     func(transport.Restored) { blow() },
		}
	}
	src := newSource(t, cfg)
	for range 20 {
		failFor(shelf, 5*time.Second)
		_, _ = src.Token(t.Context(), "")
		time.Sleep(30 * time.Second)
		shelf.heal()
		_, _ = src.Token(t.Context(), "")
		time.Sleep(time.Minute)
	}
	end := time.Now().Add(5 * time.Second)
	shelf.breakAt("save", func() error {
		if time.Now().Before(end) {
			return tokenstore.ErrConflict
		}
		return nil
	})
	_, _ = src.Token(t.Context(), "")
	time.Sleep(20 * time.Second)
	if !log {
		shelf.wantStored(t, srv.live) // whoever was to save it died
	}
	_ = src.Close(soon(t, time.Minute))
	srv.wantNoReuse(t)
	if at, _ := shelf.ofRecord(t); at == "" && !log {
		t.Error("nothing is stored")
	}
}

// A blower is a slog handler that blows at every line.
type blower struct {
	slog.Handler
	blow func()
}

func (blower) Enabled(context.Context, slog.Level) bool { return true }

func (b blower) Handle(context.Context, slog.Record) error {
	b.blow()
	return nil
}
