package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A registrar notes which refresh tokens were revoked, and may not do its part.
type registrar struct {
	mu     sync.Mutex
	tokens []string
	fail   func(ctx context.Context, n int) error // of the n-th time
}

func (r *registrar) revoke(ctx context.Context, rec tokenstore.Record) error {
	r.mu.Lock()
	r.tokens = append(r.tokens, rec.RefreshToken.Reveal())
	fail, n := r.fail, len(r.tokens)
	r.mu.Unlock()
	if fail != nil {
		return fail(ctx, n)
	}
	return nil
}

func (r *registrar) failWith(fail func(ctx context.Context, n int) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = fail
}

func (r *registrar) want(t *testing.T, tokens ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.tokens, tokens) {
		t.Errorf("revoked were %q, want %q", r.tokens, tokens)
	}
}

// A scene is one session that two processes share.
type scene struct {
	*shelf
	*server
	*registrar
	a, b *transport.Source
}

// newScene returns a session in use by both, with the tokens at1 and rt1.
func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{shelf: newShelf(), server: &server{lifetime: time.Minute}, registrar: new(registrar)}
	s.a, s.b = s.process(t), s.process(t)
	mustSet(t, s.a, s.login())
	wantToken(t, s.a, "at1")
	wantToken(t, s.b, "at1")
	return s
}

func (s *scene) process(t *testing.T) *transport.Source {
	cfg := s.config(s.server, nil)
	cfg.Revoke, cfg.NeedsLogin = s.revoke, true
	return newSource(t, cfg)
}

// unsavedRefresh leaves src with rt2, which is in no store, and its next try to save
// it some time ahead.
func (s *scene) unsavedRefresh(t *testing.T, src *transport.Source) {
	t.Helper()
	time.Sleep(2 * time.Minute)
	s.breakAt("save", func() error { return tokenstore.ErrConflict })
	wantToken(t, src, "at2")
	synctest.Wait()
	s.heal()
}

// wantOver checks that the session is over in the store and for every process.
func (s *scene) wantOver(t *testing.T) {
	t.Helper()
	synctest.Wait()
	rec := s.record(t)
	if !rec.Ended || !rec.RefreshToken.IsZero() || len(rec.Access) != 0 {
		t.Errorf("stored is %v, want a tombstone", rec)
	}
	time.Sleep(2 * time.Minute) // past the life of any access token
	calls := s.calls()
	for _, src := range []*transport.Source{s.a, s.b, s.process(t)} {
		wantError(t, src, transport.LoginRequired)
		st := src.Status()
		if st.State != transport.StateLoggedOut || st.Unsaved || !errors.Is(st.Err, transport.ErrLoginRequired) {
			t.Errorf("Status %+v", st)
		}
	}
	s.wantCalls(t, calls)
	synctest.Wait()
}

// wantNotRevoked logs out where the store is away: the tokens are still valid, too.
func wantNotRevoked(t *testing.T, src *transport.Source) {
	t.Helper()
	err := src.Logout(t.Context())
	wantKind(t, transport.Token{}, err, transport.StoreFailed)
	if !errors.Is(err, transport.ErrNotRevoked) {
		t.Errorf("Logout = %v, which does not say that nothing was revoked", err)
	}
}

func mustLogout(t *testing.T, src *transport.Source) {
	t.Helper()
	if err := src.Logout(t.Context()); err != nil {
		t.Errorf("Logout: %v", err)
	}
}

func TestLogout(t *testing.T) {
	bubble(t, "here, then once more, and there", func(t *testing.T) {
		s := newScene(t)
		mustLogout(t, s.a)
		wantError(t, s.a, transport.LoginRequired)
		left := s.get()
		mustLogout(t, s.a)
		mustLogout(t, s.b)
		if !bytes.Equal(s.get(), left) {
			t.Error("a logout tried again wrote something")
		}
		s.want(t, "rt1")
		s.wantOver(t)
	})
	bubble(t, "of a session that is in the store alone", func(t *testing.T) {
		s := newScene(t)
		mustLogout(t, s.process(t))
		s.want(t, "rt1")
		s.wantOver(t)
	})
	bubble(t, "of none", func(t *testing.T) {
		s := &scene{shelf: newShelf(), server: &server{}, registrar: new(registrar)}
		mustLogout(t, s.process(t))
		if s.get() != nil {
			t.Error("something was stored")
		}
		s.want(t)
	})
	bubble(t, "without Revoke", func(t *testing.T) {
		shelf, _, src := running(t, nil)
		mustLogout(t, src)
		if !shelf.record(t).Ended {
			t.Error("no tombstone")
		}
	})
	bubble(t, "and a login", func(t *testing.T) {
		s := newScene(t)
		mustLogout(t, s.a)
		mustSet(t, s.b, s.login())
		wantToken(t, s.b, "at2")
		wantToken(t, s.a, "at2")
		s.want(t, "rt1")
	})
	bubble(t, "and the seed again", func(t *testing.T) {
		s := newScene(t)
		rec := s.login()
		rec.Seed = "seed"
		mustSet(t, s.a, rec)
		mustLogout(t, s.a)
		mustSet(t, s.b, rec)
		s.wantOver(t)
	})
	bubble(t, "of a record that can't be read", func(t *testing.T) {
		s := newScene(t)
		s.set([]byte("{"))
		wantKind(t, transport.Token{}, s.a.Logout(t.Context()), transport.StoreFailed)
		if string(s.get()) != "{" {
			t.Error("it was replaced")
		}
		wantToken(t, s.a, "at1")
		s.want(t)
	})
	bubble(t, "of a closed Source", func(t *testing.T) {
		s := newScene(t)
		mustClose(t, s.a)
		if err := s.a.Logout(t.Context()); err != transport.ErrClosed {
			t.Error(err)
		}
	})
}

func TestLogout_where_the_server_does_not_do_its_part(t *testing.T) {
	tests := map[string]struct {
		fail func(ctx context.Context) error
		took time.Duration
	}{
		"fails":     {func(context.Context) error { return errors.New("server down") }, 0},
		"hangs":     {func(context.Context) error { time.Sleep(time.Hour); return nil }, 15 * time.Second},
		"is slow":   {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 15 * time.Second},
		"panics":    {func(context.Context) error { panic("canary") }, 0},
		"ends":      {func(context.Context) error { runtime.Goexit(); return nil }, 0},
		"is absent": {func(context.Context) error { return &transport.RefreshError{RetryAfter: time.Minute} }, 0},
	}
	for name, test := range tests {
		bubble(t, name, func(t *testing.T) {
			s := newScene(t)
			s.failWith(func(ctx context.Context, _ int) error { return test.fail(ctx) })
			wantTook(t, test.took, func() {
				if err := s.a.Logout(t.Context()); !errors.Is(err, transport.ErrNotRevoked) {
					t.Errorf("Logout = %v", err)
				}
			})
			s.failWith(nil)
			s.wantOver(t)
			s.want(t, "rt1")
			time.Sleep(time.Hour) // until the last has returned
		})
	}
}

func TestLogout_where_the_store_fails(t *testing.T) {
	bubble(t, "while it is written", func(t *testing.T) {
		s := newScene(t)
		failFor(s.shelf, time.Minute)
		wantTook(t, 2*time.Second, func() { wantKind(t, transport.Token{}, s.a.Logout(t.Context()), transport.StoreFailed) })
		wantError(t, s.a, transport.LoginRequired)
		if !s.a.Status().Unsaved {
			t.Error("the tombstone is not unsaved")
		}
		time.Sleep(2 * time.Minute)
		s.want(t, "rt1")
		s.wantOver(t)
	})
	bubble(t, "from the beginning", func(t *testing.T) {
		s := newScene(t)
		s.breakAt("enter", func() error { return errDisk })
		wantKind(t, transport.Token{}, s.a.Logout(t.Context()), transport.StoreFailed)
		wantError(t, s.a, transport.LoginRequired)
		s.heal()
		time.Sleep(time.Minute)
		s.want(t, "rt1") // by who writes the tombstone
		s.wantOver(t)
	})
	bubble(t, "and another process logs in meanwhile", func(t *testing.T) {
		s := newScene(t)
		s.breakAt("enter", func() error { return errDisk })
		wantKind(t, transport.Token{}, s.a.Logout(t.Context()), transport.StoreFailed)
		login := s.login()
		login.Session, login.Generation = tokenstore.NewSessionID(s.record(t).Session), 1
		s.put(t, login)
		s.heal()
		time.Sleep(time.Minute)
		s.wantStored(t, "rt2")
		if st := s.a.Status(); st.Unsaved || st.State == transport.StateLoggedOut {
			t.Errorf("Status %+v", st)
		}
		s.want(t, "rt1") // of the session that was to end
	})
	bubble(t, "and has lost everything when it is back", func(t *testing.T) {
		s := newScene(t)
		s.breakAt("enter", func() error { return errDisk })
		wantNotRevoked(t, s.a)
		s.set(nil)
		s.heal()
		time.Sleep(time.Minute)
		s.want(t, "rt1")
		s.wantOver(t)
	})
	bubble(t, "and the user logs in here before it is back", func(t *testing.T) {
		s := newScene(t)
		s.breakAt("enter", func() error { return errDisk })
		wantNotRevoked(t, s.a)
		wantKind(t, transport.Token{}, s.a.Set(t.Context(), s.login()), transport.StoreFailed)
		s.want(t)
		s.heal()
		time.Sleep(time.Minute)
		s.want(t, "rt1")
		s.wantStored(t, "rt2")
	})
	bubble(t, "and nothing could be revoked", func(t *testing.T) {
		shelf, _, src := running(t, nil)
		shelf.breakAt("enter", func() error { return errDisk })
		err := src.Logout(t.Context())
		wantKind(t, transport.Token{}, err, transport.StoreFailed)
		if errors.Is(err, transport.ErrNotRevoked) {
			t.Errorf("Logout = %v, and there is no Revoke", err)
		}
	})
	bubble(t, "and the process ends", func(t *testing.T) {
		s := newScene(t)
		s.breakAt("save", func() error { return errDisk })
		wantKind(t, transport.Token{}, s.a.Logout(t.Context()), transport.StoreFailed)
		wantKind(t, transport.Token{}, s.a.Close(soon(t, time.Minute)), transport.StoreFailed)
	})
}

// One logout is one event, also where its tombstone is stored long after.
func TestLogout_is_told_once(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := newScene(t)
		var told []transport.LoggedOut
		cfg := s.config(s.server, nil)
		cfg.Revoke, cfg.NeedsLogin = s.revoke, true
		cfg.Observer = &transport.Observer{LoggedOut: func(e transport.LoggedOut) { told = append(told, e) }}
		src := newSource(t, cfg)
		wantToken(t, src, "at1")
		failFor(s.shelf, time.Minute)
		wantKind(t, transport.Token{}, src.Logout(t.Context()), transport.StoreFailed)
		synctest.Wait() // observers are told after the caller
		if len(told) != 1 {
			t.Errorf("told %v, want one", told)
		}
		time.Sleep(2 * time.Minute)
		s.wantOver(t)
		if len(told) != 1 {
			t.Errorf("told %v, want one", told)
		}
	})
}

func TestLogout_goes_on_without_its_caller(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := newScene(t)
		s.failWith(func(context.Context, int) error { time.Sleep(5 * time.Second); return nil })
		wantTook(t, time.Second, func() { wantKind(t, transport.Token{}, s.a.Logout(soon(t, time.Second)), transport.Cancelled) })
		time.Sleep(5 * time.Second)
		s.wantOver(t)
	})
}

// Whatever is under way when a session is ended, it does not come back, and what
// it brings is revoked.
func TestRule111_logout_is_a_fence(t *testing.T) {
	bubble(t, "a refresh here", func(t *testing.T) {
		s := newScene(t)
		time.Sleep(2 * time.Minute)
		s.delay = 5 * time.Second
		go func() { _, _ = s.a.Token(t.Context(), "") }()
		time.Sleep(time.Second)
		mustLogout(t, s.a)
		s.want(t, "rt2")
		s.wantOver(t)
	})
	bubble(t, "a refresh there", func(t *testing.T) {
		s := newScene(t)
		time.Sleep(2 * time.Minute)
		s.delay = 5 * time.Second
		go func() { _, _ = s.b.Token(t.Context(), "") }()
		time.Sleep(time.Second)
		mustLogout(t, s.a)
		s.want(t, "rt2")
		s.wantOver(t)
	})
	bubble(t, "a token that could not be saved here", func(t *testing.T) {
		s := newScene(t)
		time.Sleep(2 * time.Minute)
		failFor(s.shelf, 10*time.Second)
		wantToken(t, s.a, "at2")
		_ = s.a.Logout(t.Context()) // ends the save, and can't save either
		time.Sleep(time.Minute)
		s.want(t, "rt1", "rt2")
		s.wantOver(t)
	})
	bubble(t, "a token that could not be saved here, and the store is back", func(t *testing.T) {
		s := newScene(t)
		s.unsavedRefresh(t, s.a)
		s.failWith(func(_ context.Context, n int) error {
			if n == 2 {
				return errors.New("the second time")
			}
			return nil
		})
		if err := s.a.Logout(t.Context()); !errors.Is(err, transport.ErrNotRevoked) {
			t.Errorf("Logout = %v", err)
		}
		s.wantOver(t)
		s.want(t, "rt1", "rt2")
	})
	bubble(t, "a token that could not be saved here, nor the tombstone at once", func(t *testing.T) {
		s := newScene(t)
		s.unsavedRefresh(t, s.a)
		saves := 0
		s.breakAt("save", func() error {
			if saves++; saves == 1 {
				return tokenstore.ErrConflict
			}
			return nil
		})
		wantKind(t, transport.Token{}, s.a.Logout(t.Context()), transport.StoreFailed)
		s.wantOver(t)
		s.want(t, "rt1", "rt2", "rt1") // once more with the tombstone
	})
	for _, test := range []struct {
		name    string
		save    error
		revoked []string
	}{{"is saved", nil, []string{"rt2"}}, {"is not saved", tokenstore.ErrConflict, []string{"rt1", "rt2"}}} {
		bubble(t, "a refresh that does not end, and "+test.name, func(t *testing.T) {
			s := newScene(t)
			time.Sleep(2 * time.Minute)
			s.hang = 2 * time.Minute
			go func() { _, _ = s.a.Token(t.Context(), "") }()
			synctest.Wait()
			wantTook(t, 46*time.Second, func() { wantKind(t, transport.Token{}, s.a.Logout(t.Context()), transport.StoreFailed) })
			wantError(t, s.a, transport.LoginRequired)
			s.breakAt("save", func() error { defer s.heal(); return test.save })
			time.Sleep(5 * time.Minute)
			s.want(t, test.revoked...)
			s.wantOver(t)
		})
	}
	bubble(t, "a token that the logout did not know of", func(t *testing.T) {
		s := newScene(t)
		old := s.get()
		time.Sleep(2 * time.Minute)
		wantToken(t, s.b, "at2")
		s.set(old) // a replica that is behind
		mustLogout(t, s.a)
		s.wantOver(t)
		s.want(t, "rt1", "rt2")
	})
	bubble(t, "a token that could not be saved there", func(t *testing.T) {
		s := newScene(t)
		time.Sleep(2 * time.Minute)
		s.breakAt("save", func() error { return tokenstore.ErrConflict }) // its exclusion is lost
		wantToken(t, s.b, "at2")
		s.heal()
		mustLogout(t, s.a) // before it is tried again
		time.Sleep(time.Minute)
		s.wantOver(t)
		if !slices.Contains(s.tokens, "rt2") {
			t.Errorf("revoked were %q, without rt2", s.tokens)
		}
	})
	bubble(t, "a refresh that the logout does not wait for", func(t *testing.T) {
		s := newScene(t)
		time.Sleep(2 * time.Minute)
		s.delay = 3 * time.Second
		s.breakAt("save", func() error { // the logout comes in between, as where a lease ran out
			s.heal()
			s.put(t, tombstone(s.record(t)))
			return tokenstore.ErrConflict
		})
		_, _ = s.b.Token(t.Context(), "")
		time.Sleep(time.Minute)
		s.want(t, "rt2")
		s.wantOver(t)
	})
	bubble(t, "the store goes back to before the logout", func(t *testing.T) {
		s := newScene(t)
		old := s.get()
		mustLogout(t, s.a)
		time.Sleep(2 * time.Minute)
		wantError(t, s.b, transport.LoginRequired)
		for _, lost := range [][]byte{old, nil} {
			s.set(lost)
			time.Sleep(2 * time.Minute)
			wantError(t, s.b, transport.LoginRequired)
			if !s.record(t).Ended {
				t.Error("who knows of the logout did not write it again")
			}
		}
		s.wantOver(t)
	})
	bubble(t, "a login in place of a token that could not be saved", func(t *testing.T) {
		s := newScene(t)
		time.Sleep(2 * time.Minute)
		failFor(s.shelf, 5*time.Second)
		wantToken(t, s.a, "at2")
		_ = s.a.Set(t.Context(), s.login())
		time.Sleep(time.Minute)
		s.want(t, "rt2")
		s.wantStored(t, "rt3")
	})
	bubble(t, "a login that could not be saved at once in place of a token that could not", func(t *testing.T) {
		s := newScene(t)
		time.Sleep(2 * time.Minute)
		failFor(s.shelf, 30*time.Second)
		wantToken(t, s.a, "at2")
		_ = s.a.Set(t.Context(), s.login())
		s.want(t)
		time.Sleep(time.Minute)
		s.want(t, "rt2")
		s.wantStored(t, "rt3")
	})
	bubble(t, "a newer record in place of one that could not be saved", func(t *testing.T) {
		s := newScene(t)
		time.Sleep(2 * time.Minute)
		s.breakAt("save", func() error { return tokenstore.ErrConflict })
		wantToken(t, s.a, "at2")
		newer := s.record(t)
		newer.Generation += 2
		s.put(t, newer)
		s.heal()
		time.Sleep(time.Minute)
		s.want(t) // that would end the session, which lives
	})
}

// Two processes import one seed, and each begins a session of its own. At the server
// they are the same, so the one that gives way must not be revoked.
func TestSet_of_one_seed_by_two_processes_revokes_nothing(t *testing.T) {
	for _, rotated := range []bool{false, true} {
		bubble(t, fmt.Sprint("rotated ", rotated), func(t *testing.T) {
			s := newScene(t)
			rec := s.login()
			rec.Seed = "seed"
			theirs := rec.Clone()
			theirs.Session, theirs.Generation = tokenstore.NewSessionID(s.record(t).Session), 1
			if rotated {
				theirs.Generation, theirs.RefreshToken = 2, tokenstore.NewSecret("rt3")
			}
			s.breakAt("save", func() error { // theirs comes first
				s.heal()
				s.put(t, theirs)
				return tokenstore.ErrConflict
			})
			wantKind(t, transport.Token{}, s.a.Set(t.Context(), rec), transport.StoreFailed)
			time.Sleep(time.Minute)
			s.want(t)
			s.wantStored(t, theirs.RefreshToken.Reveal())
			if s.a.Status().Unsaved {
				t.Error("it is still unsaved")
			}
		})
	}
}

// The same seed again is no reason to give up what is being saved.
func TestSet_of_the_same_seed_ends_no_save(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := newScene(t)
		rec := s.login()
		rec.Seed = "seed"
		mustSet(t, s.a, rec)
		time.Sleep(2 * time.Minute)
		end := time.Now().Add(20 * time.Second)
		var left atomic.Int32
		s.shelf.mu.Lock()
		s.at = func(step string) error {
			switch {
			case step == "leave":
				left.Add(1)
			case step == "save" && time.Now().Before(end):
				return errDisk
			}
			return nil
		}
		s.shelf.mu.Unlock()
		wantToken(t, s.a, "at3")
		wantKind(t, transport.Token{}, s.a.Set(t.Context(), rec), transport.StoreFailed)
		if left.Load() != 0 {
			t.Error("the exclusion was given up")
		}
		time.Sleep(time.Minute)
		s.wantStored(t, "rt3")
	})
}
