package transport_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func TestRefresh_takes_what_another_stored(t *testing.T) {
	bubble(t, "another token", func(t *testing.T) {
		shelf, srv, a := running(t, nil)
		b := newSource(t, shelf.config(srv, nil))
		old, same := mustToken(t, a), mustToken(t, b)
		for _, src := range []*transport.Source{a, b} { // each was answered 401
			rejected := map[*transport.Source]transport.Token{a: old, b: same}[src]
			if tok, err := src.Refresh(t.Context(), rejected); err != nil || tok.Reveal() != "at3" {
				t.Errorf("Refresh = %q, %v", tok.Reveal(), err)
			}
		}
		srv.wantCalls(t, 3)
	})
	bubble(t, "the rejected one", func(t *testing.T) {
		shelf, _, src := running(t, nil)
		rec := shelf.record(t) // written again by another, which got the same access token
		rec.Generation++
		rec.Access[0].Generation++
		shelf.put(t, rec)
		if tok, err := src.Refresh(t.Context(), mustToken(t, src)); err != nil || tok.Reveal() != "at3" {
			t.Errorf("Refresh = %q, %v", tok.Reveal(), err)
		}
	})
}

func TestRefresh_targets_exclude_each_other(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{lifetime: time.Minute, delay: time.Second}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
		for range 5 {
			var wg sync.WaitGroup
			for i := range 5 {
				wg.Go(func() {
					target := fmt.Sprint("api", i)
					if tok, err := src.Token(t.Context(), target); err != nil || tok.Target() != target {
						t.Errorf("Token = %v, %v", tok, err)
					}
				})
			}
			wg.Wait()
			time.Sleep(2 * time.Minute)
		}
		srv.wantCalls(t, 25)
		srv.wantNoReuse(t)
	})
}

func TestRefresh_answer_lost(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		srv.lose = func(n int) error {
			if n == 3 {
				srv.live = "rt2" // a server with a grace takes it once more
				return &transport.RefreshError{OutcomeUnknown: true, Err: errors.New("connection reset")}
			}
			return nil
		}
		time.Sleep(2 * time.Minute)
		if re := wantError(t, src, transport.Transient); !re.OutcomeUnknown {
			t.Errorf("error %+v, want an unknown outcome", re)
		}
		shelf.wantStored(t, "rt2")
		time.Sleep(4 * time.Second) // the answer may still come
		wantError(t, src, transport.Transient)
		srv.wantCalls(t, 3)
		time.Sleep(2 * time.Second)
		wantToken(t, src, "at4")
		shelf.wantStored(t, "rt4")
	})
}

func TestRefresh_timeout(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		_, srv, src := running(t, nil)
		time.Sleep(2 * time.Minute)
		srv.delay = time.Hour
		within(t, transport.DefaultRefreshTimeout, func() { wantError(t, src, transport.Transient) })
		srv.delay = 0
		time.Sleep(time.Second)
		wantToken(t, src, "at4")
	})
}

// What is wrong with an answer must not cost the refresh token in it.
func TestRefresh_odd_answers(t *testing.T) {
	tests := map[string]struct {
		kind  transport.Kind
		spoil func(*tokenstore.Record)
	}{
		"no access token":    {transport.Transient, func(r *tokenstore.Record) { r.Access = nil }},
		"empty access token": {transport.Transient, func(r *tokenstore.Record) { r.Access[0].Token = tokenstore.Secret{} }},
		"bad access token": {transport.Transient, func(r *tokenstore.Record) {
			r.Access[0].Token = tokenstore.NewSecret("a\r\nb")
		}},
		"not Bearer": {transport.Misconfigured, func(r *tokenstore.Record) { r.Access[0].Type = "MAC" }},
		"Extra that is no JSON, and bad tokens": {transport.Transient, func(r *tokenstore.Record) {
			r.Extra = map[string]tokenstore.Secret{"x": tokenstore.NewSecret("{")}
			r.Access = []tokenstore.AccessToken{{Target: "z", Token: tokenstore.NewSecret("z")}, {Token: tokenstore.NewSecret(" ")}}
		}},
	}
	for name, test := range tests {
		for _, slow := range []bool{false, true} {
			bubble(t, fmt.Sprint(name, ", slow store ", slow), func(t *testing.T) {
				shelf, srv := expiredSession(t)
				cfg := shelf.config(srv, nil)
				cfg.Refresh = func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
					rec, err := srv.refresh(ctx, old, target)
					test.spoil(&rec)
					return rec, err
				}
				if slow {
					failFor(shelf, 10*time.Second)
				}
				within(t, 3*time.Second, func() { wantError(t, newSource(t, cfg), test.kind) })
				time.Sleep(20 * time.Second)
				shelf.wantStored(t, "rt2")
			})
		}
	}
	bubble(t, "no refresh token", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		cfg := shelf.config(srv, nil)
		cfg.Refresh = func(_ context.Context, _ tokenstore.Record, target string) (tokenstore.Record, error) {
			var rec tokenstore.Record // made anew, without what was there
			rec.SetToken(tokenstore.AccessToken{Target: target, Token: tokenstore.NewSecret("new")})
			return rec, nil
		}
		wantToken(t, newSource(t, cfg), "new")
		shelf.wantStored(t, "rt1")
	})
	bubble(t, "access tokens out of order", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		cfg := shelf.config(srv, nil)
		cfg.Refresh = func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
			rec, err := srv.refresh(ctx, old, target)
			y, z := rec.Access[0], rec.Access[0]
			y.Target, z.Target = "y", "z"
			rec.Access = append([]tokenstore.AccessToken{z, y}, rec.Access...)
			return rec, err
		}
		wantToken(t, newSource(t, cfg), "at2")
		wantToken(t, newSource(t, cfg), "at2") // another process can read it
	})
}

// What a RefreshFunc returned is the Source's: what becomes of the func's own
// maps and slices later changes no token, and nothing that is saved later.
func TestRefresh_answer_is_copied(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := expiredSession(t)
		var own tokenstore.Record
		cfg := shelf.config(srv, nil)
		cfg.Refresh = func(ctx context.Context, old tokenstore.Record, target string) (rec tokenstore.Record, err error) {
			rec, err = srv.refresh(ctx, old, target)
			rec.Extra = map[string]tokenstore.Secret{"x": tokenstore.NewSecret(`"came"`)}
			own = rec
			return rec, err
		}
		src := newSource(t, cfg)
		shelf.breakAt("save", func() error { return tokenstore.ErrConflict })
		tok := mustToken(t, src)
		own.Extra["x"] = tokenstore.NewSecret(`"changed"`)
		own.Access[0].Token = tokenstore.NewSecret("changed")
		if tok.Extra("x") != `"came"` || tok.Reveal() != "at2" {
			t.Errorf("the token changed to %q with %s", tok.Reveal(), tok.Extra("x"))
		}
		shelf.heal()
		mustClose(t, src)
		rec := shelf.record(t)
		if at, _ := rec.Token(""); at.Token.Reveal() != "at2" || rec.Extra["x"].Reveal() != `"came"` {
			t.Errorf("stored is %q with %s", at.Token.Reveal(), rec.Extra["x"].Reveal())
		}
	})
}
