package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// Set begins a session with the tokens of rec, from a login or an import. It
// replaces what is stored under the key, readable or not, and everything that
// was remembered of failures; only the record of a newer program stays, with an
// error that is [tokenstore.ErrVersion]. Session, Generation and Ended are set
// here. Where rec has a Seed and the stored session was begun with the same one, that
// session goes on and nothing changes.
//
// The record is saved even if ctx is over first. If it can't be saved, Set
// returns a *[RefreshError] of kind [StoreFailed]; the session is used
// nevertheless, and saving it is tried again. Only with a Seed it is not, where
// the store could not be read: it might hold what came of that seed.
func (s *Source) Set(ctx context.Context, rec tokenstore.Record) error {
	rec = rec.Clone()
	s.identify(&rec)
	if err := firstRecord(&rec); err != nil {
		return err
	}
	return s.detach(ctx, func(answer func(error)) { s.set(&rec, answer) })
}

// detach calls f in a goroutine of the Source, and waits for its first answer or
// until ctx is over.
func (s *Source) detach(ctx context.Context, f func(answer func(error))) error {
	done := make(chan error, 1)
	answer := func(err error) {
		select {
		case done <- err:
		default: // it was answered before
		}
	}
	if !s.begin(func() { f(answer) }) {
		return ErrClosed
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return cancelled(ctx)
	}
}

// firstRecord makes rec the first record of a session.
func firstRecord(rec *tokenstore.Record) error {
	if rec.RefreshToken.IsZero() && len(rec.Access) == 0 {
		return errors.New("transport: Set: the record has neither a refresh token nor an access token")
	}
	rec.Session, rec.Generation, rec.Ended = tokenstore.NewSessionID(""), firstGeneration, false
	if err := sound(rec); err != nil {
		return fmt.Errorf("transport: Set: %w", err)
	}
	for i := range rec.Access {
		t := &rec.Access[i]
		t.Generation = firstGeneration
		if t.Issued.IsZero() {
			t.Issued = time.Now().Round(0)
		}
	}
	if _, err := rec.Encode(); err != nil {
		return fmt.Errorf("transport: Set: %w", err)
	}
	return nil
}

func (s *Source) set(rec *tokenstore.Record, answer func(error)) {
	defer s.keepSaving()
	defer answer(&RefreshError{Kind: StoreFailed, Err: errGone}) // an observer may do that
	x := &exchange{s: s}
	take := func() error { return s.takeOver(nil) }
	if rec.Seed != "" && rec.Seed == s.held().Seed { // that session goes on: what it is saving must not be given up
		take = s.takeTurn
	}
	if err := take(); err != nil {
		s.setUnsaved(x, rec, err, answer)
		return
	}
	defer s.endTurn()
	var grace *time.Timer
	x.saving = func() { grace = time.AfterFunc(saveGrace, func() { s.setUnsaved(x, rec, nil, answer) }) }
	err := s.update(x.login(rec))
	if x.wrote() == nil && errors.Is(err, tokenstore.ErrCorrupt) && !errors.Is(err, tokenstore.ErrVersion) {
		err = s.replace(x, rec) // the store itself can't read it
	}
	if grace != nil {
		grace.Stop()
	}
	switch {
	case err != nil:
		s.setUnsaved(x, rec, err, answer)
		return
	case x.wrote() != nil:
		s.stored(x)
		s.begun()
	default:
		s.adopt(x.took)
	}
	answer(nil)
}

// replace writes a login where the store refuses to read what it has.
func (s *Source) replace(x *exchange, rec *tokenstore.Record) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.exclusionTimeout())
	defer cancel()
	if err := s.purge(ctx); err != nil {
		return err
	}
	return s.update(x.login(rec))
}

// setUnsaved keeps a login in memory that is not saved: because of err, or yet.
func (s *Source) setUnsaved(x *exchange, rec *tokenstore.Record, err error, answer func(error)) {
	why := asRefreshError(cmp.Or(err, errSlowSave), StoreFailed)
	if x.wrote() == nil {
		if rec.Seed != "" {
			answer(why)
			return
		}
		rec.Session = tokenstore.NewSessionID(s.held().Session)
		x.made = rec
	}
	if !s.keep(x, err) && err == nil {
		return // the timer came late
	}
	s.begun()
	answer(why)
	s.watch().saveFailed(SaveFailed{s.subject(""), why})
}

// begun forgets what was known of the session before.
func (s *Source) begun() {
	s.settled.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = nil
}

// Forget deletes the record, readable or not, from the store and from the memory
// of this process. Nothing is revoked, and another process that holds the
// session writes it again: [Source.Logout] ends a session.
func (s *Source) Forget(ctx context.Context) error {
	return s.detach(ctx, func(answer func(error)) {
		err := s.forget(ctx)
		if err != nil && ctx.Err() != nil {
			err = cancelled(ctx)
		}
		answer(err)
	})
}

func (s *Source) forget(ctx context.Context) error {
	if err := s.takeOver(ctx.Done()); err != nil {
		return &RefreshError{Kind: StoreFailed, Err: err}
	}
	defer s.keepSaving() // what was to go and can't be deleted
	defer s.endTurn()
	if err := s.purge(ctx); err != nil {
		return &RefreshError{Kind: StoreFailed, Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsaved, s.orphans = nil, nil
	s.cur.Store(nil)
	s.flights, s.trouble = nil, nil
	return nil
}

// purge deletes what is stored.
func (s *Source) purge(ctx context.Context) error {
	return <-run(func() error { return s.cfg.Store.Delete(ctx, s.key()) })
}

// Close waits until no refresh is in flight and nothing is unsaved, and then
// until ctx is over at the most. After that no goroutine is left behind but of a
// call into a store, a RefreshFunc or a Revoke that has not returned: a refresh is not cut
// off, because its answer may bring a new refresh token, which is saved. The
// Source can't be used any more: Token returns [ErrClosed]. Closing again waits
// again.
//
// The error says that a new token was not saved, or that ctx was over first.
func (s *Source) Close(ctx context.Context) error {
	var err error
	if w := s.shut(); w != nil {
		select {
		case <-w.over:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if s.giveUp() {
		return &RefreshError{Kind: StoreFailed, Err: notSaved(err)}
	}
	return err
}

// shut keeps anything from beginning, and returns what still runs, or nil.
func (s *Source) shut() *work {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.work != nil {
		close(s.work.closing)
	}
	s.closed = true
	return s.work
}

// giveUp ends what still runs, and reports whether anything is unsaved.
func (s *Source) giveUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gaveUp && s.work != nil {
		close(s.work.gone)
	}
	s.gaveUp = true
	if s.work != nil && s.work.abort != nil {
		s.work.abort(errAborted)
	}
	s.cur.Store(nil)
	return s.unsaved != nil
}

func notSaved(err error) error {
	if err == nil {
		return errNotSaved
	}
	return fmt.Errorf("%w: %w", errNotSaved, err)
}

var errNotSaved = errors.New("a new token was not saved")
