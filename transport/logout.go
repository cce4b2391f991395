package transport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// ErrNotRevoked is what errors.Is finds in the error of a logout that the server
// does not know of: nobody is signed in here any more, and the tokens are still
// valid there.
var ErrNotRevoked = errors.New("transport: the tokens are still valid at the server")

// Logout ends the session, here and for every process that shares the store. With
// the exclusion of the record it revokes what is stored, and what this process holds
// that is newer, and then, whether or not the server could be reached, leaves a
// tombstone in its place: a record without tokens that says that the session was
// ended. No refresh that is under way anywhere, and no token that a process could
// not save, brings the session back over it; such a token is revoked by who finds
// the tombstone. Only a later login is stored over it. From then on Token fails
// with [ErrLoginRequired]; in another process it does when the access token that is
// at hand there is due for a refresh, or rejected.
//
// The logout goes on even if ctx is over first. Its error is [ErrNotRevoked] if
// nothing was revoked, and a *[RefreshError] of kind [StoreFailed] if the tombstone
// could not be stored: where the session is known here it is ended in this process
// nevertheless, storing the tombstone is tried again, and what was not revoked for
// want of the store is revoked then; a login that another process stores meanwhile
// stays. The error may be both. A record that can't be read stays, too: see
// [Source.Forget].
//
// Where there is no session, neither stored nor held by this process, Logout does
// nothing, and returns nil: if the store has lost one that another process holds, that
// process brings it back. Nor does it do anything where the session is ended already.
func (s *Source) Logout(ctx context.Context) error { return s.detach(ctx, s.logout) }

func (s *Source) logout(answer func(error)) {
	defer s.keepSaving()
	defer answer(&RefreshError{Kind: StoreFailed, Err: errGone}) // an observer may do that
	x := &exchange{s: s}
	if err := s.takeOver(nil); err != nil {
		s.endUnsaved(x, err, answer)
		return
	}
	defer s.endTurn()
	var grace *time.Timer
	x.saving = func() { grace = time.AfterFunc(saveGrace, func() { s.endUnsaved(x, nil, answer) }) }
	err := s.update(x.logout)
	if grace != nil {
		grace.Stop()
	}
	switch {
	case err != nil:
		s.endUnsaved(x, err, answer)
		return
	case x.wrote() != nil:
		s.stored(x)
		s.begun()
	default:
		s.adopt(x.took)
	}
	s.tellLogout(x, nil, answer)
}

// logout is the function of an Update that ends the session.
func (x *exchange) logout(ctx context.Context, stored *tokenstore.Record, unreadable error) (*tokenstore.Record, error) {
	if unreadable != nil {
		return nil, unreadable
	}
	held := x.s.held()
	last := stored
	if outranks(held, stored) {
		last = held
	}
	if last.Ended || !last.Exists() {
		return x.reconcile(ctx, stored, nil)
	}
	x.revoke(ctx, stored)
	if last == held {
		x.revoke(ctx, held)
	}
	x.made = tombstone(last)
	x.saving()
	return x.made, nil
}

// tombstone is what a logout leaves of rec: no secret. A seed that was imported
// does not begin the session anew, so its hash stays.
func tombstone(rec *tokenstore.Record) *tokenstore.Record {
	return &tokenstore.Record{
		Issuer: rec.Issuer, ClientID: rec.ClientID, Account: rec.Account, Seed: rec.Seed,
		Session: rec.Session, Generation: rec.Generation + 1, Ended: true,
	}
}

// endUnsaved ends the session in memory, where the tombstone is not stored: because
// of err, or yet.
func (s *Source) endUnsaved(x *exchange, err error, answer func(error)) {
	why := asRefreshError(err, StoreFailed)
	if err == nil {
		why = asRefreshError(errSlowSave, StoreFailed)
	}
	if x.wrote() == nil {
		held := s.held()
		if !held.Exists() || held.Ended || unreadable(err) {
			answer(why)
			return
		}
		x.made = tombstone(held)
		if s.revocable(held) { // which is done when the tombstone is stored
			x.revoked = ErrNotRevoked
		}
	}
	if !s.keep(x, err) && err == nil {
		return // the timer came late
	}
	s.begun()
	s.tellLogout(x, why, answer)
	s.watch().saveFailed(SaveFailed{s.subject(""), why})
}

// endedHere reports whether the session was ended and its tombstone is not stored.
func (s *Source) endedHere() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsaved != nil && s.unsaved.record.Ended
}

// tellLogout answers a logout; unsaved is why its tombstone is not stored.
func (s *Source) tellLogout(x *exchange, unsaved *RefreshError, answer func(error)) {
	err := x.revoked
	if unsaved != nil {
		err = errors.Join(unsaved, err)
	}
	answer(err)
	if x.wrote() != nil && !x.told.Swap(true) {
		s.watch().loggedOut(LoggedOut{s.subject(""), x.revoked})
	}
}

// revoke revokes the tokens of rec inside an Update, and notes what became of it.
func (x *exchange) revoke(ctx context.Context, rec *tokenstore.Record) {
	x.ended = append(x.ended, rec)
	x.revoked = errors.Join(x.revoked, x.s.revoke(ctx, rec))
}

// revoke asks the server to revoke the tokens of rec, for as long as a refresh may
// take. A server that can't be asked, and a Revoke that does not return, keeps
// nobody waiting.
func (s *Source) revoke(ctx context.Context, rec *tokenstore.Record) error {
	if !s.revocable(rec) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.refreshTimeout())
	defer cancel()
	var err error
	select {
	case err = <-run(func() error { return s.cfg.Revoke(ctx, rec.Clone()) }):
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrNotRevoked, err)
	}
	s.watch().revoked(Revoked{s.subject(""), err})
	return err
}

// revocable reports whether there is anything to revoke.
func (s *Source) revocable(rec *tokenstore.Record) bool {
	return s.cfg.Revoke != nil && (!rec.RefreshToken.IsZero() || len(rec.Access) > 0)
}

// orphan reports whether kept, which was unsaved, must be revoked now that rec
// took its place: it is of another login, or of the session that was ended. One that
// gave way to a newer record of its own session must not, nor to another session
// that began with the same seed: at the server they are one, and it would end.
func orphan(kept, rec *tokenstore.Record) bool {
	return rec.Ended || rec.Session != kept.Session && (kept.Seed == "" || kept.Seed != rec.Seed)
}

func (s *Source) orphanLocked(kept, rec *tokenstore.Record) {
	if kept.Exists() && orphan(kept, rec) {
		s.orphans = append(s.orphans, kept)
	}
}

// covers reports whether who revokes records has revoked rec, too: its tokens, or
// what came of them.
func covers(records []*tokenstore.Record, rec *tokenstore.Record) bool {
	return slices.ContainsFunc(records, func(r *tokenstore.Record) bool {
		return r.Session == rec.Session &&
			(r.Generation > rec.Generation || r.Generation == rec.Generation && r.RefreshToken.Equal(rec.RefreshToken))
	})
}

// bury revokes, behind everybody, what was unsaved and has no place any more. The
// caller runs in a goroutine of the Source.
func (s *Source) bury(orphans []*tokenstore.Record) {
	if len(orphans) == 0 || s.cfg.Revoke == nil {
		return
	}
	s.goOn(func() {
		for _, rec := range orphans {
			s.revoke(context.Background(), rec)
		}
	})
}
