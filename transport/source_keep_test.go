package transport_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A save that is slow, and then finds the exclusion lost, is tried again at once:
// whoever has it now must not send what is spent. Saved counts from when the token
// was kept.
func TestKeep_slow_and_then_lost(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv, _ := running(t, nil)
		var after []time.Duration
		cfg := shelf.config(srv, nil)
		cfg.Observer = &transport.Observer{Saved: func(e transport.Saved) { after = append(after, e.After) }}
		src := newSource(t, cfg)
		time.Sleep(2 * time.Minute)
		saves := 0
		shelf.breakAt("save", func() error {
			if saves++; saves == 1 {
				time.Sleep(3 * time.Second)
				return tokenstore.ErrConflict
			}
			time.Sleep(4 * time.Second)
			return nil
		})
		wantTook(t, 2*time.Second, func() { wantToken(t, src, "at3") })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		shelf.wantStored(t, "rt3")
		if len(after) != 1 || after[0] != 5*time.Second || saves != 2 {
			t.Errorf("saved %s after it was kept, in %d tries; want 5s and 2", after, saves)
		}
	})
}

// A try to save that Forget ends is no failure to tell of.
func TestKeep_ended_by_Forget(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		tp := new(tape)
		shelf, _, src := running(t, tp)
		saves := 0
		shelf.breakAt("save", func() error {
			if saves++; saves == 1 {
				return tokenstore.ErrConflict
			}
			return errDisk
		})
		time.Sleep(2 * time.Minute)
		wantToken(t, src, "at3")
		if err := src.Forget(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		tp.want(t, "began expired", "save failed", "ended unsaved")
	})
}

// A login that waits for a refresh ends a save, and never what is being sent: the
// answer may bring a refresh token.
func TestSet_does_not_end_an_exchange(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Minute}
		var sent error
		cfg := transport.SourceConfig{Store: passing{shelf}, Key: shelfKey}
		cfg.Refresh = func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
			time.Sleep(10 * time.Second)
			sent = ctx.Err()
			return srv.refresh(ctx, old, target)
		}
		src := newSource(t, cfg)
		go func() { _, _ = src.Token(t.Context(), "") }()
		time.Sleep(time.Second)
		rec := new(server).login()
		wantTook(t, 9*time.Second, func() { mustSet(t, src, rec) })
		if sent != nil {
			t.Errorf("the context of the exchange ended: %v", sent)
		}
		srv.wantCalls(t, 1)
	})
}

// A passing store gives next the context of Update itself.
type passing struct{ *shelf }

func (s passing) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	return s.shelf.Update(ctx, key, func(_ context.Context, old []byte) ([]byte, error) { return next(ctx, old) })
}

// A store may call next in a goroutine of its own: a panic there is an error, too.
func TestPanic_where_a_store_calls_next(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		cfg := shelf.config(srv, nil)
		cfg.Store = elsewhere{shelf}
		cfg.Refresh = func(context.Context, tokenstore.Record, string) (tokenstore.Record, error) { panic("boom") }
		if re := wantError(t, newSource(t, cfg), transport.Transient); !strings.Contains(re.Error(), "panic (string)") {
			t.Errorf("error %v, want that of the panic", re)
		}
	})
}

type elsewhere struct{ *shelf }

func (s elsewhere) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	return s.shelf.Update(ctx, key, func(ctx context.Context, old []byte) (b []byte, err error) {
		done := make(chan struct{})
		go func() { b, err = next(ctx, old); close(done) }()
		<-done
		return b, err
	})
}

// Of an answer that is too large to be kept, what is optional goes first, and no
// more of it than must.
func TestSave_leaves_out_what_is_too_large(t *testing.T) {
	small, huge := tokenstore.NewSecret("h.p.s"), tokenstore.NewSecret(strings.Repeat("i", tokenstore.MaxRecord))
	note := map[string]tokenstore.Secret{"x": tokenstore.NewSecret(`"y"`)}
	for name, test := range map[string]struct {
		id        tokenstore.Secret
		extra     map[string]tokenstore.Secret
		wantID    string
		wantExtra int
	}{
		"nothing": {small, note, "h.p.s", 1},
		"Extra":   {small, map[string]tokenstore.Secret{"x": tokenstore.NewSecret(`"` + huge.Reveal() + `"`)}, "h.p.s", 0},
		"IDToken": {huge, note, "", 0},
	} {
		bubble(t, name, func(t *testing.T) {
			shelf, srv := expiredSession(t)
			cfg := shelf.config(srv, nil)
			cfg.Refresh = func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
				rec, err := srv.refresh(ctx, old, target)
				rec.IDToken, rec.Extra = test.id, test.extra
				return rec, err
			}
			wantToken(t, newSource(t, cfg), "at2")
			rec := shelf.record(t)
			if shelf.wantStored(t, "rt2"); rec.IDToken.Reveal() != test.wantID || len(rec.Extra) != test.wantExtra {
				t.Errorf("stored are an id_token of %d bytes and %d members of Extra", len(rec.IDToken.Reveal()), len(rec.Extra))
			}
		})
	}
}

// Saved tells of the record that was kept, and of no other that is there instead.
func TestKeep_gives_way_without_a_word(t *testing.T) {
	for name, other := range map[string]func(srv *server, kept tokenstore.Record) tokenstore.Record{
		"a later login": func(srv *server, kept tokenstore.Record) tokenstore.Record {
			rec := srv.login()
			rec.Session, rec.Generation = tokenstore.NewSessionID(kept.Session), kept.Generation
			rec.RefreshToken = kept.RefreshToken
			return rec
		},
		"a later refresh": func(_ *server, kept tokenstore.Record) tokenstore.Record { kept.Generation++; return kept },
		"a logout":        func(_ *server, kept tokenstore.Record) tokenstore.Record { kept.Ended = true; return kept },
		"another refresh": func(_ *server, kept tokenstore.Record) tokenstore.Record {
			kept.RefreshToken = tokenstore.NewSecret("rt3-of-another")
			kept.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret("at3-of-another"), Generation: 3})
			return kept
		},
	} {
		bubble(t, name, func(t *testing.T) {
			tp := new(tape)
			shelf, srv, src := running(t, tp)
			kept := shelf.record(t)
			kept.Generation, kept.RefreshToken = 3, tokenstore.NewSecret("rt3")
			time.Sleep(2 * time.Minute)
			saving := true
			shelf.breakAt("save", func() error {
				if saving {
					saving = false
					time.Sleep(3 * time.Second) // and meanwhile the exclusion is lost
					shelf.put(t, other(srv, kept))
					return tokenstore.ErrConflict
				}
				return nil
			})
			wantToken(t, src, "at3")
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := tp.count("saved"); n != 0 || src.Status().Unsaved {
				t.Errorf("events %q, Status %+v", tp.lines, src.Status())
			}
			if name == "another refresh" {
				wantToken(t, src, "at3-of-another") // of two of one rank, the stored one counts
			}
		})
	}
}

// However many operations leave something unsaved, one goroutine tries to save
// it, soon at first and then with pauses.
func TestKeep_tries_alone(t *testing.T) {
	bubble(t, "soon at first", func(t *testing.T) {
		tp := new(tape)
		shelf, srv, src := running(t, tp)
		shelf.breakAt("enter", func() error { return errDisk })
		wantKind(t, transport.Token{}, src.Set(t.Context(), srv.login()), transport.StoreFailed)
		synctest.Wait()
		tp.want(t, "save failed")
		shelf.heal()
		time.Sleep(500 * time.Millisecond * 5 / 4)
		synctest.Wait()
		shelf.wantStored(t, "rt3")
	})
	bubble(t, "and then with pauses", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		var tries atomic.Int64
		shelf.breakAt("enter", func() error { tries.Add(1); return errDisk })
		for range 3 {
			_ = src.Set(t.Context(), srv.login())
		}
		time.Sleep(time.Minute)
		tries.Store(0)
		time.Sleep(20 * time.Minute)
		if n := tries.Load(); n < 30 || n > 55 {
			t.Errorf("%d tries in 20 minutes, want one in half a minute", n)
		}
		shelf.heal()
	})
}

// What a Forget gave up, and then can't delete, is saved again at once: meanwhile
// another process may send what is spent.
func TestKeep_after_a_Forget_that_fails(t *testing.T) {
	for name, unsaved := range map[string]func(*testing.T, *shelf, *server, *transport.Source){
		"of a refresh": func(t *testing.T, shelf *shelf, _ *server, src *transport.Source) {
			failFor(shelf, time.Hour)
			wantToken(t, src, "at3")
		},
		"of a refresh, some time after": func(t *testing.T, shelf *shelf, _ *server, src *transport.Source) {
			shelf.breakAt("save", func() error { return tokenstore.ErrConflict })
			wantToken(t, src, "at3")
			failFor(shelf, time.Hour)
			time.Sleep(20 * time.Second)
		},
		"of a login, some time after": func(t *testing.T, shelf *shelf, srv *server, src *transport.Source) {
			shelf.breakAt("enter", func() error { return errDisk })
			wantKind(t, transport.Token{}, src.Set(t.Context(), srv.login()), transport.StoreFailed)
			failFor(shelf, time.Hour)
			time.Sleep(20 * time.Second)
		},
	} {
		bubble(t, name, func(t *testing.T) {
			shelf, srv, src := running(t, nil)
			time.Sleep(2 * time.Minute)
			unsaved(t, shelf, srv, src)
			shelf.mu.Lock()
			shelf.at = func(step string) error {
				switch step {
				case "delete":
					shelf.heal()
					return errDisk
				case "save":
					return errDisk
				}
				return nil
			}
			shelf.mu.Unlock()
			wantKind(t, transport.Token{}, src.Forget(t.Context()), transport.StoreFailed)
			synctest.Wait()
			shelf.wantStored(t, "rt3")
			if src.Status().Unsaved {
				t.Error("it is not saved at once")
			}
			srv.wantNoReuse(t)
		})
	}
}

// A save that Close gives up is not begun again: the program may close its store.
func TestKeep_given_up_by_Close(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, _, src := running(t, nil)
		time.Sleep(2 * time.Minute)
		failFor(shelf, time.Hour)
		wantToken(t, src, "at3")
		wantKind(t, transport.Token{}, src.Close(soon(t, time.Minute)), transport.StoreFailed)
		shelf.breakAt("enter", func() error { t.Error("the store is used after Close"); return errDisk })
		time.Sleep(time.Hour)
	})
}
