package transport

import (
	"errors"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// An unsaved record is one that this process holds and the store may not. It is
// written over anything older and gives way to anything else.
type unsaved struct {
	record   *tokenstore.Record
	since    time.Time
	conflict bool // the exclusion was lost: to be saved at once
}

// keep makes what x was to write the record of this process although it is not
// stored. It reports false if it is stored by now.
func (s *Source) keep(x *exchange, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.settled {
		return false
	}
	if s.unsaved == nil || s.unsaved.record != x.wrote() {
		s.unsaved = &unsaved{record: x.wrote(), since: time.Now()}
		s.publishLocked(x.wrote())
	}
	s.unsaved.conflict = errors.Is(err, tokenstore.ErrConflict)
	return true
}

// stored notes that what x wrote is in the store.
func (s *Source) stored(x *exchange) {
	s.mu.Lock()
	x.settled = true
	kept := s.unsaved
	s.unsaved = nil
	s.publishLocked(x.wrote())
	s.mu.Unlock()
	switch {
	case kept != nil && kept.record == x.wrote():
		s.watch.saved(Saved{s.subject(""), time.Since(kept.since)})
	case x.restored != nil:
		s.watch.restored(Restored{s.subject(""), x.gone})
	}
}

// adopt makes rec, which is stored, the record of this process.
func (s *Source) adopt(rec *tokenstore.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsaved = nil
	s.publishLocked(rec)
}

// closingPause is how long Close lets pass between two tries to save.
const closingPause = 100 * time.Millisecond

// keepSaving tries to save what is unsaved until it is, or gave way to another
// record, or Close gives up. One goroutine of a Source does it at a time; an
// operation that comes in between writes the unsaved record first.
func (s *Source) keepSaving() {
	if !s.startSaver() {
		return
	}
	atOnce := s.lostExclusion()
	for pause := firstPause; s.goOnSaving(); pause = min(2*pause, maxPauseExpired) {
		if !atOnce {
			s.rest(jitter(pause))
		}
		atOnce = false
		s.save()
	}
}

func (s *Source) startSaver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saver || s.unsaved == nil {
		return false
	}
	s.saver = true
	return true
}

func (s *Source) lostExclusion() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsaved != nil && s.unsaved.conflict
}

func (s *Source) goOnSaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saver = s.unsaved != nil && !s.gaveUp
	return s.saver
}

// rest waits for d, or until the Source is being closed.
func (s *Source) rest(d time.Duration) {
	select {
	case <-s.closing:
		time.Sleep(min(d, closingPause))
	case <-time.After(d):
	}
}

// save tries once to save what is unsaved.
func (s *Source) save() {
	if s.takeTurn(nil) != nil {
		return
	}
	defer s.endTurn()
	if s.held() == nil || !s.hasUnsaved() {
		return
	}
	x := &exchange{s: s}
	err := s.update(x.reconcile)
	switch {
	case err == nil && x.restored != nil:
		s.stored(x)
	case err == nil:
		s.adopt(x.took)
	case !errors.Is(err, errAborted):
		s.watch.saveFailed(SaveFailed{s.subject(""), err})
	}
}

func (s *Source) hasUnsaved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsaved != nil
}

// takeTurn waits until no other operation on the record runs, for as long as one
// may take, or until done. Where the one that runs can't save what it has it
// does not wait for long: nothing further is exchanged before that is saved.
func (s *Source) takeTurn(done <-chan struct{}) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	wait := s.cfg.exclusionTimeout() + s.cfg.refreshTimeout()
	if s.hasUnsaved() {
		wait = saveGrace
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-timer.C:
		return errTurn
	case <-done:
		return errTurn
	}
}

var errTurn = errors.New("another operation on the session does not end: its store or its refresh hangs, or a new token can't be saved")

func (s *Source) endTurn() { <-s.turn }

// abortSave ends the Update under way if all it still does is trying to save.
func (s *Source) abortSave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unsaved != nil && s.abort != nil {
		s.abort(errAborted)
	}
}
