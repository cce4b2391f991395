package transport

import (
	"errors"
	"slices"
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
// stored; err, if not nil, is how the writing ended. It reports false if that is
// known by now, or this process has a newer record.
func (s *Source) keep(x *exchange, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.settled {
		return false
	}
	x.settled = err != nil // a timer may come late: what became of x is known
	held, rec := s.heldLocked(), x.wrote()
	if outranks(held, rec) {
		if x.settled && x.made != nil {
			s.orphanLocked(x.made, held)
		}
		return false
	}
	if s.unsaved == nil || s.unsaved.record != rec {
		asked := !rec.Ended || len(x.ended) > 0 // a logout that had no Update has revoked nothing
		if (s.unsaved != nil || !asked) && !covers(x.ended, held) {
			s.orphanLocked(held, rec)
		}
		s.unsaved = &unsaved{record: rec, since: time.Now()}
		s.publishLocked(rec, true)
	}
	s.unsaved.conflict = errors.Is(err, tokenstore.ErrConflict) || errors.Is(err, errAborted)
	return true
}

// stored notes that what x wrote is in the store.
func (s *Source) stored(x *exchange) {
	s.mu.Lock()
	x.settled = true
	kept, orphans := s.settleLocked(x.wrote(), x.ended, true)
	s.mu.Unlock()
	s.bury(orphans)
	if !s.tellSaved(kept, x.wrote()) && x.restored != nil {
		s.watch().restored(Restored{s.subject(""), x.gone})
	}
}

// settleLocked makes rec, which is stored, the record of this process, unless
// that has a newer one. It returns what was unsaved and is so no more, and what is
// to be revoked now, but for what was.
func (s *Source) settleLocked(rec *tokenstore.Record, revoked []*tokenstore.Record, own bool) (kept *unsaved, orphans []*tokenstore.Record) {
	held := s.heldLocked()
	if outranks(held, rec) {
		return nil, nil
	}
	if s.unsaved != nil || rec.Ended && rec.Generation <= held.Generation { // the logout did not know of it
		s.orphanLocked(held, rec)
	}
	kept, s.unsaved = s.unsaved, nil
	orphans, s.orphans = s.orphans, nil
	s.publishLocked(rec, own)
	return kept, slices.DeleteFunc(orphans, func(o *tokenstore.Record) bool { return covers(revoked, o) })
}

// tellSaved tells that rec, which is stored, was kept in memory before. It
// reports false if it was not.
func (s *Source) tellSaved(kept *unsaved, rec *tokenstore.Record) bool {
	if kept == nil || kept.record.Session != rec.Session || kept.record.Generation != rec.Generation || rec.Ended ||
		!kept.record.RefreshToken.Equal(rec.RefreshToken) {
		return false
	}
	s.watch().saved(Saved{s.subject(""), time.Since(kept.since)})
	return true
}

// adopt makes rec, which is stored, the record of this process.
func (s *Source) adopt(rec *tokenstore.Record) {
	s.mu.Lock()
	kept, orphans := s.settleLocked(rec, nil, false)
	s.mu.Unlock()
	s.bury(orphans)
	s.tellSaved(kept, rec) // it was written although the store said it failed
}

// closingPause is how long Close lets pass between two tries to save.
const closingPause = 100 * time.Millisecond

// keepSaving tries to save what is unsaved until it is, or gave way to another
// record, or Close gives up. One goroutine of a Source does it at a time; an
// operation that comes in between writes the unsaved record first.
func (s *Source) keepSaving() {
	ended, saver := false, false
	defer func() {
		if !ended { // an observer ended the goroutine
			s.stopSaver(saver)
			s.goOn(s.keepSaving)
		}
	}()
	if s.lostExclusion() { // whoever has it now must not send what is spent
		s.save()
	}
	if saver = s.startSaver(); saver {
		for pause := firstPause; s.goOnSaving(); pause = min(2*pause, maxPauseExpired) {
			s.rest(jitter(pause))
			s.save()
		}
	}
	ended = true
}

func (s *Source) stopSaver(saver bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work.saver = s.work.saver && !saver
	if s.unsaved != nil {
		s.unsaved.conflict = false // the first try was at once; now with pauses
	}
}

func (s *Source) startSaver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work.saver || s.unsaved == nil {
		return false
	}
	s.work.saver = true
	return true
}

// loseExclusion notes that what is unsaved was given up for what does not replace it
// after all, perhaps: then it is to be saved at once.
func (s *Source) loseExclusion() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unsaved != nil {
		s.unsaved.conflict = true
	}
}

func (s *Source) lostExclusion() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsaved != nil && s.unsaved.conflict && !s.gaveUp
}

func (s *Source) goOnSaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work.saver = s.unsaved != nil && !s.gaveUp
	return s.work.saver
}

// rest waits for d, or until the Source is being closed.
func (s *Source) rest(d time.Duration) {
	w := s.working()
	select {
	case <-w.closing:
		select {
		case <-w.gone:
		case <-time.After(min(d, closingPause)):
		}
	case <-time.After(d):
	}
}

// save tries once to save what is unsaved.
func (s *Source) save() {
	if s.takeTurn() != nil {
		return
	}
	defer s.endTurn()
	if !s.hasUnsaved() {
		return
	}
	x := &exchange{s: s}
	err := s.update(x.reconcile)
	switch {
	case err == nil && x.restored != nil:
		s.stored(x)
	case err == nil:
		s.adopt(x.took)
	case errors.Is(err, errAborted):
		s.loseExclusion()
	default:
		s.watch().saveFailed(SaveFailed{s.subject(""), err})
	}
}

func (s *Source) hasUnsaved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsaved != nil
}
