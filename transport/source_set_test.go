package transport_test

import (
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// Set keeps a copy, as the first record of a session, and leaves the caller's
// alone. An access token is enough for one.
func TestSet_completes_a_copy(t *testing.T) {
	issued := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	bubble(t, "", func(t *testing.T) {
		shelf := newShelf()
		src := newSource(t, shelf.config(new(server), nil))
		rec := tokenstore.Record{Extra: map[string]tokenstore.Secret{"x": tokenstore.NewSecret("1")}, Access: []tokenstore.AccessToken{
			{Token: tokenstore.NewSecret("at"), Generation: 9},
			{Target: "api", Token: tokenstore.NewSecret("at"), Issued: issued},
		}}
		mustSet(t, src, rec)
		if a := rec.Access[0]; a.Generation != 9 || !a.Issued.IsZero() || rec.Session != "" {
			t.Errorf("the caller's record became %v with %+v", rec, rec.Access)
		}
		rec.Extra["x"] = tokenstore.NewSecret("2") // which is the caller's to do
		wantToken(t, src, "at")
		if got := mustToken(t, src).Extra("x"); got != "1" {
			t.Errorf("Extra is %s, want what was set", got)
		}
		stored := shelf.record(t)
		for i, want := range []time.Time{time.Now(), issued} {
			if a := stored.Access[i]; a.Generation != 1 || stored.Generation != 1 || !a.Issued.Equal(want) {
				t.Errorf("stored is %v with %+v", stored, a)
			}
		}
	})
}

// A login with a seed that was on its way into the store is used, as any other.
func TestSet_seed_that_can_not_be_saved(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		tp := new(tape)
		shelf, srv, src := running(t, tp)
		shelf.breakAt("save", func() error { return tokenstore.ErrConflict })
		rec := srv.login()
		rec.Seed = "s"
		wantKind(t, transport.Token{}, src.Set(t.Context(), rec), transport.StoreFailed)
		wantToken(t, src, "at3")
		shelf.heal()
		mustClose(t, src)
		shelf.wantStored(t, "rt3")
		if tp.count("save failed") == 0 {
			t.Error("nobody was told that the login is not saved")
		}
	})
}

// An observer that ends its goroutine does not keep Set from returning.
func TestSet_whose_observer_ends_it(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		cfg := shelf.config(srv, nil)
		cfg.Observer = &transport.Observer{Restored: func(transport.Restored) { runtime.Goexit() }}
		src := newSource(t, cfg)
		rec := imported(srv, "s")
		mustSet(t, src, rec)
		shelf.set(nil)
		wantKind(t, transport.Token{}, src.Set(t.Context(), rec), transport.StoreFailed)
		shelf.wantStored(t, "rt1")
	})
}

func TestForget_forgets_failures(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		_, srv, src := running(t, nil)
		srv.fail = func(int) error { return &transport.RefreshError{RetryAfter: time.Hour, Err: errDown} }
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.Transient)
		if err := src.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := src.Status(); st != (transport.Status{State: transport.StateUnknown}) {
			t.Errorf("Status %+v", st)
		}
		srv.fail, srv.live = nil, ""
		wantToken(t, src, "at4")
	})
}

// Forget waits for a refresh that hangs no longer than that may take.
func TestForget_during_a_refresh_that_hangs(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		release := make(chan struct{})
		shelf, srv := newShelf(), &server{}
		src := newSource(t, shelf.config(srv, nil))
		srv.fail = func(int) error { <-release; return errDown }
		go func() { _, _ = src.Token(t.Context(), "") }()
		synctest.Wait()
		within(t, 3*transport.DefaultRefreshTimeout+2*time.Second, func() {
			wantKind(t, transport.Token{}, src.Forget(t.Context()), transport.StoreFailed)
		})
		close(release)
	})
}

// Closing again says again that something was not saved.
func TestClose_again_after_giving_up(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, _, src := running(t, nil)
		failFor(shelf, time.Hour)
		time.Sleep(2 * time.Minute)
		wantToken(t, src, "at3")
		wantKind(t, transport.Token{}, src.Close(soon(t, time.Second)), transport.StoreFailed)
		synctest.Wait()
		err := src.Close(t.Context())
		if re := wantKind(t, transport.Token{}, err, transport.StoreFailed); re.Error() != "transport: store failed: a new token was not saved" {
			t.Errorf("error %v", re)
		}
	})
}

func TestStatus(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour, delay: time.Second}
		src := newSource(t, shelf.config(srv, nil))
		rec := srv.login()
		rec.Account, rec.RefreshExpiry = "ann", time.Now().Add(24*time.Hour)
		mustSet(t, src, rec)
		at := rec.Access[0]
		want := transport.Status{State: transport.StateFresh, Account: "ann", Issued: at.Issued.Round(0), Expiry: at.Expiry.Round(0), RefreshExpiry: rec.RefreshExpiry}
		want.RefreshAt = src.Status().RefreshAt
		if left := at.Expiry.Sub(want.RefreshAt); left < 150*time.Second || left > 5*time.Minute {
			t.Errorf("refreshed %v before the expiry", left)
		}
		for _, step := range []struct {
			after time.Duration
			state transport.State
		}{{0, transport.StateFresh}, {59 * time.Minute, transport.StateStale}, {2 * time.Minute, transport.StateExpired}} {
			time.Sleep(step.after)
			if want.State = step.state; src.Status() != want {
				t.Errorf("Status %+v, want %+v", src.Status(), want)
			}
		}
		ended := tombstone(shelf.record(t))
		ended.Account = "ann"
		shelf.put(t, ended)
		wantError(t, src, transport.LoginRequired)
		if st := src.Status(); st.State != transport.StateLoggedOut || !errors.Is(st.Err, transport.ErrLoginRequired) || !st.Expiry.IsZero() {
			t.Errorf("Status after a logout %+v", st)
		}
	})
}
