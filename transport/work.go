package transport

import (
	"context"
	"errors"
	"time"
)

// A work is what a Source has while goroutines of it run, and only then: so a million
// idle ones are small.
type work struct {
	running int           // goroutines; guarded by the Source's mu, as what follows the channels
	over    chan struct{} // closed when none runs any more
	turn    chan struct{} // holds a value while an operation on the record runs
	closing chan struct{} // closed by Close
	gone    chan struct{} // closed when Close returns

	saver   bool                    // one of the goroutines tries to save what is unsaved
	abort   context.CancelCauseFunc // ends the Update that is under way
	writing bool                    // that Update has a record to write
}

// begin runs f in a goroutine that Close waits for, unless the Source is closed.
func (s *Source) begin(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.goLocked(f)
	}
	return !s.closed
}

// goOn is begin for what a goroutine of the Source leaves to another. Close waits for
// that, too.
func (s *Source) goOn(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goLocked(f)
}

func (s *Source) goLocked(f func()) {
	if s.work == nil {
		s.work = &work{
			over: make(chan struct{}), turn: make(chan struct{}, 1),
			closing: make(chan struct{}), gone: make(chan struct{}),
		}
	}
	s.work.running++
	go func() {
		defer s.end()
		f()
	}()
}

// end is the end of a goroutine of the Source.
func (s *Source) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work.running--; s.work.running == 0 {
		close(s.work.over)
		s.work, s.flights = nil, nil
	}
}

// working returns the work, which stays the same for a goroutine of the Source. For
// others it is nil where nothing runs.
func (s *Source) working() *work {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.work
}

// takeTurn waits until no other operation on the record runs, for as long as one
// may take. Where the one that runs can't save what it has it does not wait for
// long: nothing further is exchanged before that is saved.
func (s *Source) takeTurn() error {
	if s.hasUnsaved() {
		return s.working().turnWithin(saveGrace, nil)
	}
	return s.working().turnWithin(s.turnTimeout(), nil)
}

// takeOver is takeTurn for what replaces the record, until done: an operation
// that only goes on trying to save is ended.
func (s *Source) takeOver(done <-chan struct{}) (err error) {
	for waited := time.Duration(0); waited < s.turnTimeout(); waited += saveGrace {
		if err = s.working().turnWithin(saveGrace, done); err == nil {
			return nil
		}
		s.abortSave()
	}
	return err
}

// turnTimeout is as long as one operation on the record may take.
func (s *Source) turnTimeout() time.Duration {
	return s.cfg.exclusionTimeout() + s.cfg.refreshTimeout()
}

func (w *work) turnWithin(d time.Duration, done <-chan struct{}) error {
	select {
	case w.turn <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case w.turn <- struct{}{}:
		return nil
	case <-timer.C:
	case <-done:
	case <-w.gone:
	}
	return errTurn
}

var errTurn = errors.New("another operation on the session does not end: its store or its refresh hangs, or a new token can't be saved")

func (s *Source) endTurn() { s.working().endTurn() }

func (w *work) endTurn() { <-w.turn }
