package transport_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// Only a login that could not be saved replaces what can't be read: what came of
// a refresh might be older than what the bytes mean.
func TestUnsaved_over_a_record_that_became_unreadable(t *testing.T) {
	garbage := []byte("garbage")
	bubble(t, "a refresh", func(t *testing.T) {
		shelf, srv, _ := running(t, nil)
		var failed error
		cfg := shelf.config(srv, nil)
		cfg.Observer = &transport.Observer{SaveFailed: func(e transport.SaveFailed) { failed = e.Err }}
		src := newSource(t, cfg)
		time.Sleep(2 * time.Minute)
		shelf.breakAt("save", func() error { return tokenstore.ErrConflict })
		wantToken(t, src, "at3")
		synctest.Wait() // the next try comes after a pause
		shelf.heal()
		shelf.set(garbage)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := shelf.get(); !bytes.Equal(got, garbage) {
			t.Errorf("stored is %q, want what was there", got)
		}
		if !errors.Is(failed, tokenstore.ErrCorrupt) || !src.Status().Unsaved {
			t.Errorf("save failed with %v, Status %+v", failed, src.Status())
		}
	})
	bubble(t, "a login", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		shelf.breakAt("save", func() error { return tokenstore.ErrConflict })
		wantKind(t, transport.Token{}, src.Set(t.Context(), srv.login()), transport.StoreFailed)
		synctest.Wait()
		shelf.heal()
		shelf.set(garbage)
		time.Sleep(time.Minute)
		shelf.wantStored(t, "rt3")
	})
}

// A session that was refused is not written back for the sake of its seed.
func TestSet_seed_of_a_session_that_was_refused(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		rec := imported(srv, "s")
		src := newSource(t, shelf.config(srv, nil))
		mustSet(t, src, rec)
		srv.fail = func(int) error { return invalidGrant() }
		wantError(t, src, transport.LoginRequired)
		shelf.set(nil)
		wantKind(t, transport.Token{}, src.Set(t.Context(), rec), transport.LoginRequired)
		shelf.wantStored(t, "")
	})
}

// Where a session begins with a login alone, the func is not called without one.
func TestNeedsLogin(t *testing.T) {
	for name, test := range map[string]struct {
		stored func(rec tokenstore.Record) *tokenstore.Record
		says   string
	}{
		"no session":       {func(tokenstore.Record) *tokenstore.Record { return nil }, "no session is stored"},
		"no refresh token": {func(rec tokenstore.Record) *tokenstore.Record { rec.RefreshToken = tokenstore.Secret{}; return &rec }, "no refresh token"},
		"logged out":       {func(rec tokenstore.Record) *tokenstore.Record { rec = tombstone(rec); return &rec }, "logged out"},
	} {
		bubble(t, name, func(t *testing.T) {
			shelf, srv := expiredSession(t)
			rec := test.stored(shelf.record(t))
			if shelf.set(nil); rec != nil {
				shelf.put(t, *rec)
			}
			cfg := shelf.config(srv, nil)
			cfg.NeedsLogin = true
			if re := wantError(t, newSource(t, cfg), transport.LoginRequired); !strings.Contains(re.Error(), test.says) {
				t.Errorf("error %v, want that %s", re, test.says)
			}
			srv.wantCalls(t, 1)
		})
	}
	bubble(t, "and has one", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		cfg := shelf.config(srv, nil)
		cfg.NeedsLogin = true
		wantToken(t, newSource(t, cfg), "at2")
	})
}

// A server that prolongs a token gives the same text again. Another process that
// stored it spares this one the refresh.
func TestRefresh_takes_a_token_that_was_prolonged(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		time.Sleep(2 * time.Minute)
		rec := shelf.record(t)
		rec.Generation++
		at := &rec.Access[0]
		at.Generation, at.Issued, at.Expiry = rec.Generation, time.Now(), time.Now().Add(time.Hour)
		shelf.put(t, rec)
		wantToken(t, src, "at2")
		srv.wantCalls(t, 2)
	})
}

// An error that brings no new refresh token changes nothing, and does not make
// the store be read again.
func TestRefresh_error_with_the_old_record(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		before, steps := shelf.get(), map[string]int{}
		cfg := shelf.config(srv, nil)
		cfg.Refresh = func(_ context.Context, old tokenstore.Record, _ string) (tokenstore.Record, error) {
			clear(steps)
			return old, errDown
		}
		shelf.at = func(step string) error { steps[step]++; return nil }
		if re := wantError(t, newSource(t, cfg), transport.Transient); !errors.Is(re, errDown) {
			t.Errorf("error %v", re)
		}
		synctest.Wait()
		if !bytes.Equal(shelf.get(), before) || steps["load"]+steps["save"] != 0 {
			t.Errorf("stored is %s after the steps %v, want what was there", shelf.get(), steps)
		}
	})
}

// Where the store can't be read after a refusal, it may hold another token: it is not
// known that a login is required, and what was refused is not sent again.
func TestRefresh_refused_and_the_store_can_not_be_read(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv, _ := running(t, nil)
		time.Sleep(2 * time.Minute)
		calls := 0
		cfg := shelf.config(srv, nil)
		cfg.Refresh = func(context.Context, tokenstore.Record, string) (tokenstore.Record, error) {
			calls++
			shelf.breakAt("load", func() error { return errDisk })
			return tokenstore.Record{}, invalidGrant()
		}
		src := newSource(t, cfg)
		for range 3 {
			if re := wantError(t, src, transport.StoreFailed); !errors.Is(re, errDisk) {
				t.Errorf("error %v", re)
			}
			time.Sleep(time.Minute)
		}
		shelf.heal()
		wantError(t, src, transport.LoginRequired)
		if calls != 1 {
			t.Errorf("%d calls, want one", calls)
		}
	})
}

// After a refusal the store is read again. Only a newer record with another
// refresh token is a reason to go on.
func TestRefresh_refused_and_the_store_has_no_better(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, shelf *shelf, rec tokenstore.Record){
		"an older one": func(t *testing.T, shelf *shelf, rec tokenstore.Record) {
			rec.Generation--
			rec.RefreshToken = tokenstore.NewSecret("older")
			shelf.put(t, rec)
		},
		"a newer one with the same": func(t *testing.T, shelf *shelf, rec tokenstore.Record) {
			rec.Generation++
			shelf.put(t, rec)
		},
	} {
		bubble(t, name, func(t *testing.T) {
			shelf, srv, _ := running(t, nil)
			time.Sleep(2 * time.Minute)
			calls := 0
			cfg := shelf.config(srv, nil)
			cfg.Refresh = func(_ context.Context, old tokenstore.Record, _ string) (tokenstore.Record, error) {
				calls++
				change(t, shelf, old)
				return tokenstore.Record{}, invalidGrant()
			}
			wantError(t, newSource(t, cfg), transport.LoginRequired)
			synctest.Wait()
			if calls != 1 {
				t.Errorf("%d calls, want one", calls)
			}
		})
	}
}

// What a RefreshFunc says of a token is kept as it says it, and is its own no
// longer.
func TestRefresh_record_is_copied_and_completed(t *testing.T) {
	issued := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, given := range map[string]time.Time{"issued is told": issued, "and not": {}} {
		bubble(t, name, func(t *testing.T) {
			var kept []tokenstore.AccessToken
			shelf, calls := newShelf(), 0
			src := newSource(t, transport.SourceConfig{Store: shelf, Key: shelfKey, Refresh: func(_ context.Context, old tokenstore.Record, _ string) (tokenstore.Record, error) {
				calls++
				time.Sleep(time.Second)
				kept = []tokenstore.AccessToken{{Token: tokenstore.NewSecret("mine"), Issued: given, Expiry: time.Now().Add(time.Minute)}}
				old.Access = kept
				return old, nil
			}})
			start := time.Now()
			wantToken(t, src, "mine")
			kept[0].Token = tokenstore.NewSecret("changed")
			wantToken(t, src, "mine")
			want := given
			if given.IsZero() {
				want = start
			}
			if got := src.Status().Issued; !got.Equal(want) {
				t.Errorf("issued %s, want %s", got, want)
			}
			if rec := shelf.record(t); rec.Generation != 1 || rec.Access[0].Generation != 1 || !rec.Access[0].Issued.Equal(want) {
				t.Errorf("stored is %v with %+v", rec, rec.Access)
			}
			if given.IsZero() { // it lives for a minute, and is not due for a refresh at once
				time.Sleep(30 * time.Second)
				wantToken(t, src, "mine")
				if synctest.Wait(); calls != 1 {
					t.Errorf("%d refreshes, want one", calls)
				}
			}
		})
	}
}

// The contexts that a store and a RefreshFunc get end with the call.
func TestContexts_end_with_the_call(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		var mu sync.Mutex
		var all []context.Context
		note := func(ctx context.Context) { mu.Lock(); defer mu.Unlock(); all = append(all, ctx) }
		srv := &server{lifetime: time.Hour}
		src := newSource(t, transport.SourceConfig{Store: noting{new(tokenstore.Memory), note}, Key: shelfKey,
			Refresh: func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
				note(ctx)
				return srv.refresh(ctx, old, target)
			}})
		wantToken(t, src, "at1")
		mustSet(t, src, srv.login())
		synctest.Wait()
		for i, ctx := range all {
			if ctx.Err() == nil {
				t.Errorf("context %d of %d goes on after the call", i+1, len(all))
			}
		}
		if len(all) < 4 {
			t.Errorf("%d contexts, want those of Load, two Updates and Refresh", len(all))
		}
	})
}

// A noting store notes the contexts that it gets.
type noting struct {
	tokenstore.Store
	note func(context.Context)
}

func (s noting) Load(ctx context.Context, key string) ([]byte, error) {
	s.note(ctx)
	return s.Store.Load(ctx, key)
}

func (s noting) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	s.note(ctx)
	return s.Store.Update(ctx, key, next)
}

// An Update that does not get the exclusion is ended, and not only its callers
// let go: nothing is left that Close would have to wait for.
func TestExclusion_is_given_up(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		go excludeFor(shelf, 10*time.Minute)
		time.Sleep(2 * time.Minute)
		wantTook(t, 2*transport.DefaultRefreshTimeout, func() {
			if re := wantError(t, src, transport.StoreFailed); !strings.Contains(re.Error(), "exclusion") || !errors.Is(re, context.Canceled) {
				t.Errorf("error %v, want that of the exclusion and that of the store", re)
			}
		})
		wantTook(t, 0, func() { mustClose(t, src) })
		srv.wantCalls(t, 2)
		time.Sleep(10 * time.Minute)
	})
}

// A panic of the runtime's own is found where it began, too.
func TestPanic_tells_the_line(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		src := newSource(t, transport.SourceConfig{Refresh: func(context.Context, tokenstore.Record, string) (tokenstore.Record, error) {
			var none *tokenstore.Record
			return *none, nil
		}})
		if re := wantError(t, src, transport.Transient); !strings.Contains(re.Error(), "source_exchange_test.go:") {
			t.Errorf("error %v, want the line", re)
		}
	})
}
