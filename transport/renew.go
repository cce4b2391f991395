package transport

import (
	"context"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// UnknownLifetime is what Renew takes for the lifetime of a token whose expiry is
// unknown. Such a token is used until an API rejects it; renewing it once in a
// while keeps its refresh token from being forgotten.
const UnknownLifetime = 24 * time.Hour

// Renew is [Source.Token] for nobody's request: it keeps the session's own token
// fresh where there is no traffic. It refreshes a token whose time has come, see
// [RefreshPoint], and waits for the end of that, as nobody does who can use the token; a token
// whose time has not come, or that another process has renewed, is left alone. Every
// error is a *[RefreshError], except [ErrClosed]; while the pause after a failure
// lasts it is that of the failure, and RetryAfter says how long.
func (s *Source) Renew(ctx context.Context) error {
	if s.current("") == nil { // what is stored is to be judged
		if err := s.renew(ctx); err != nil {
			return err
		}
	}
	return s.renew(ctx)
}

func (s *Source) renew(ctx context.Context) error {
	now := time.Now()
	t := s.current("")
	if t != nil && !now.Before(renewalPoint(t.record, t.access, s.cfg.refreshBefore(), whole)) {
		t.wear()
	}
	f := t.freshness(now)
	if f == fresh {
		return nil
	}
	if s.shutting() {
		return ErrClosed
	}
	if err := s.paused(now, f, ""); err != nil {
		return err
	}
	if _, err := s.wait(ctx, s.fly("")); err != nil {
		return err
	}
	return s.rested(ctx)
}

// rested waits until the refresh whose token its callers have is over for itself.
func (s *Source) rested(ctx context.Context) error {
	w := s.working()
	if w == nil {
		return nil
	}
	if err := w.turnWithin(s.turnTimeout(), ctx.Done()); err != nil {
		if ctx.Err() != nil {
			return cancelled(ctx)
		}
		return &RefreshError{Kind: StoreFailed, Err: err}
	}
	w.endTurn()
	return nil
}

// RefreshPoint returns when the token of rec for target is to be refreshed: ahead of
// its own expiry or of the refresh token's, whichever comes first, by before at the
// most ([DefaultRefreshBefore] if zero). It is drawn anew at each call, within the
// earlier half of the time that is left for it, so that many sessions and many hosts
// part. Where no end is known it is [UnknownLifetime] after the token came, and where
// there is no token the zero Time.
func RefreshPoint(rec *tokenstore.Record, target string, before time.Duration) time.Time {
	t, ok := rec.Token(target)
	if !ok {
		return time.Time{}
	}
	cfg := SourceConfig{RefreshBefore: before}
	return renewalPoint(rec, &t, cfg.refreshBefore(), jittered)
}

func renewalPoint(rec *tokenstore.Record, t *tokenstore.AccessToken, before time.Duration, window func(time.Duration) time.Duration) time.Time {
	if at := refreshPoint(rec, t, before, window); !at.IsZero() {
		return at
	}
	return t.Issued.Add(UnknownLifetime - window(UnknownLifetime/4))
}
