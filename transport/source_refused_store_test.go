package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A login replaces what is stored, also where it is the store that can't read it.
func TestSet_over_what_the_store_refuses(t *testing.T) {
	for _, seed := range []string{"", "seed"} {
		bubble(t, fmt.Sprintf("seed %q", seed), func(t *testing.T) {
			shelf, srv := newShelf(), &server{lifetime: time.Hour}
			shelf.set([]byte("garbage"))
			refuseUntilDeleted(shelf)
			src := newSource(t, shelf.config(srv, nil))
			if re := wantError(t, src, transport.StoreFailed); !errors.Is(re, tokenstore.ErrCorrupt) {
				t.Errorf("error %v, want ErrCorrupt", re)
			}
			rec := srv.login()
			rec.Seed = seed
			mustSet(t, src, rec)
			wantToken(t, src, "at1")
			shelf.wantStored(t, "rt1")
			mustClose(t, src) // nothing is unsaved
		})
	}
	bubble(t, "and it can't be deleted", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		shelf.at = func(step string) error {
			switch step {
			case "load":
				return tokenstore.ErrCorrupt
			case "delete":
				return errDisk
			}
			return nil
		}
		src := newSource(t, shelf.config(srv, nil))
		re := wantKind(t, transport.Token{}, src.Set(t.Context(), srv.login()), transport.StoreFailed)
		if !errors.Is(re, errDisk) {
			t.Errorf("error %v, want why it can't be deleted", re)
		}
		wantToken(t, src, "at1")
		shelf.heal()
		time.Sleep(time.Minute)
		shelf.wantStored(t, "rt1")
	})
}

// A store that does not come back from Delete before its context is over keeps
// Set no longer, and the login is used.
func TestSet_over_what_can_not_be_deleted_in_time(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		shelf.breakAt("load", func() error { return tokenstore.ErrCorrupt })
		shelf.DeleteFunc = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
		src := newSource(t, shelf.config(srv, nil))
		wantTook(t, 2*transport.DefaultRefreshTimeout, func() {
			wantKind(t, transport.Token{}, src.Set(t.Context(), srv.login()), transport.StoreFailed)
		})
		wantToken(t, src, "at1")
		shelf.heal()
		mustClose(t, src)
		shelf.wantStored(t, "rt1")
	})
}

// refuseUntilDeleted makes the store refuse to read what it has.
func refuseUntilDeleted(shelf *shelf) {
	var deleted atomic.Bool
	shelf.at = func(step string) error {
		switch {
		case step == "delete":
			deleted.Store(true)
		case step == "load" && !deleted.Load():
			return fmt.Errorf("%w: damaged", tokenstore.ErrCorrupt)
		}
		return nil
	}
}

func TestSet_over_a_file_that_is_too_large(t *testing.T) {
	dir, srv := tokenstore.Dir(filepath.Join(t.TempDir(), "tokens")), &server{lifetime: time.Hour}
	cfg := transport.SourceConfig{Refresh: srv.refresh, NeedsLogin: true, Store: dir, Key: key}
	mustSet(t, newSource(t, cfg), srv.login())
	files, err := filepath.Glob(filepath.Join(string(dir), "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, %v; want one record", files, err)
	}
	if err := os.WriteFile(files[0], make([]byte, tokenstore.MaxRecord+1), 0o600); err != nil {
		t.Fatal(err)
	}
	src := newSource(t, cfg)
	if re := wantError(t, src, transport.StoreFailed); !errors.Is(re, tokenstore.ErrCorrupt) {
		t.Errorf("error %v, want ErrCorrupt", re)
	}
	mustSet(t, src, srv.login())
	wantToken(t, newSource(t, cfg), "at2") // a new process reads it
}

// A session of a newer program is not replaced: not by a login, nor later, when
// what could not be saved is tried again.
func TestSet_over_a_newer_version(t *testing.T) {
	newer := []byte(`{"v":2,"session":"x"}`)
	byStore := func(shelf *shelf) { shelf.breakAt("load", func() error { return tokenstore.ErrVersion }) }
	for name, prepare := range map[string]func(*shelf){"record": func(*shelf) {}, "store says so": byStore} {
		for _, seed := range []string{"", "seed"} {
			bubble(t, fmt.Sprintf("%s, seed %q", name, seed), func(t *testing.T) {
				shelf, srv := newShelf(), &server{lifetime: time.Hour}
				shelf.set(newer)
				prepare(shelf)
				src := newSource(t, shelf.config(srv, nil))
				wantVersion(t, wantError(t, src, transport.StoreFailed))
				rec := srv.login()
				rec.Seed = seed
				wantVersion(t, wantKind(t, transport.Token{}, src.Set(t.Context(), rec), transport.StoreFailed))
				if seed == "" {
					wantToken(t, src, "at1") // used, and not saved
				} else {
					wantVersion(t, wantError(t, src, transport.StoreFailed))
				}
				time.Sleep(10 * time.Minute)
				if got := shelf.get(); !bytes.Equal(got, newer) {
					t.Errorf("stored is %q, want what was there", got)
				}
			})
		}
	}
}

func wantVersion(t *testing.T, re *transport.RefreshError) {
	t.Helper()
	if !errors.Is(re, tokenstore.ErrVersion) || !errors.Is(re, tokenstore.ErrCorrupt) {
		t.Errorf("error %v, want ErrVersion and ErrCorrupt", re)
	}
}

// A fickleStore says of what it has just written that it can't be read.
type fickleStore struct {
	tokenstore.Memory
	deletes int
}

func (s *fickleStore) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	return errors.Join(s.Memory.Update(ctx, key, next), tokenstore.ErrCorrupt)
}

func (s *fickleStore) Delete(ctx context.Context, key string) error {
	s.deletes++
	return s.Memory.Delete(ctx, key)
}

// A login deletes what can't be read, and never what it has written itself: that
// may be the only copy.
func TestSet_does_not_delete_what_it_has_written(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		store, srv := new(fickleStore), &server{lifetime: time.Hour}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Store: store, Key: "session"})
		wantKind(t, transport.Token{}, src.Set(t.Context(), srv.login()), transport.StoreFailed)
		if store.deletes != 0 {
			t.Errorf("%d deletes", store.deletes)
		}
	})
}
