package transport

import (
	"errors"
	"sync"
	"time"
)

// saveGrace is how long callers wait for a new token to be saved. After that
// they get it although it is not.
const saveGrace = 2 * time.Second

// exchangeGrace is how long callers wait for a RefreshFunc beyond its time. If
// it comes back later still, what it brings is saved all the same.
const exchangeGrace = time.Second

// foregroundWait is how long callers wait for the first refresh of a process where
// there is a token that can still be used.
const foregroundWait = 5 * time.Second

// maxRounds bounds the Updates of one flight: write back what the store lost,
// exchange, read again after a refusal, exchange what was found.
const maxRounds = 4

// A flight is one refresh for all callers that wait for it. It runs in a
// goroutine of its own, so that nothing that happens to a caller, and nothing
// that a callback does, not even runtime.Goexit, keeps the others waiting.
type flight struct {
	s      *Source
	target string

	once     sync.Once
	answered chan struct{} // closed when token and err are set
	token    *issue
	err      error
}

// answer lets the callers go. Only the first answer counts. There is no token
// and no error where Close has given up meanwhile.
func (f *flight) answer(t *issue, err error) {
	if t == nil && err == nil {
		err = ErrClosed
	}
	f.once.Do(func() {
		f.token, f.err = t, err
		close(f.answered)
	})
}

// run is the goroutine of the flight.
func (f *flight) run() {
	if f.s.endedHere() { // the store has yet to learn of it
		f.answer(nil, f.s.fail(&RefreshError{Kind: LoginRequired, Err: errEnded}, nil, f.target))
		return
	}
	if !f.s.settled.Load() {
		enough := time.AfterFunc(foregroundWait, f.goBehind)
		defer enough.Stop()
	}
	if err := f.s.takeTurn(); err != nil {
		f.answer(nil, f.s.fail(&RefreshError{Kind: StoreFailed, Err: err}, nil, f.target))
		return
	}
	defer f.s.keepSaving()
	defer f.s.endTurn()
	defer f.answer(nil, &RefreshError{Kind: Transient, Err: errGone}) // an observer may do that
	t, err := f.fly()
	f.answer(t, err)
}

// goBehind lets the callers have a token that can still be used: from now on the
// refresh goes on behind them.
func (f *flight) goBehind() {
	if t := f.s.current(f.target); t.freshness(time.Now()) != expired {
		f.s.settled.Store(true)
		f.answer(t, nil)
	}
}

// fly finds a token: in memory, in the store, or at the server.
func (f *flight) fly() (*issue, error) {
	s := f.s
	if t := f.atHand(); t != nil {
		return t, nil
	}
	if err := s.paused(time.Now(), s.current(f.target).freshness(time.Now()), f.target); err != nil {
		return nil, err
	}
	held := s.held()
	if !held.Exists() || s.hopeless(held) != nil {
		if err := f.look(); err != nil {
			return nil, err
		}
		if t := f.atHand(); t != nil {
			return t, nil
		}
	}
	return f.refresh()
}

// atHand returns the current token if it needs no refresh any more, because
// another flight has ended since the caller looked.
func (f *flight) atHand() *issue {
	t := f.s.current(f.target)
	if t.freshness(time.Now()) == fresh {
		return t
	}
	return nil
}

// look reads the store without its exclusion, and takes over what is newer than
// memory. Its error says that the session needs a login, or that the store
// failed.
func (f *flight) look() error {
	s := f.s
	stored, err := s.load()
	if err != nil {
		return s.fail(asRefreshError(err, StoreFailed), nil, f.target)
	}
	held := s.held()
	if held.Newer(stored) && (held.Ended || stored.Exists()) {
		return nil // an Update writes what is newer
	}
	if stored.Newer(held) {
		s.adopt(stored)
		held = stored
	}
	if f.atHand() != nil {
		s.succeed()
		return nil
	}
	if err := s.hopeless(held); err != nil {
		return s.fail(asRefreshError(err, LoginRequired), nil, f.target)
	}
	return nil
}

// refresh makes Updates of the record until there is a token, and tells the
// observer.
func (f *flight) refresh() (t *issue, err error) {
	s, start := f.s, time.Now()
	subject := s.subject(f.target)
	reason, attempt := f.why(), s.attempt()
	before := s.held().RefreshToken
	s.watch().refreshBegan(RefreshBegan{subject, reason, attempt})
	t, outcome, err := f.rounds()
	end := RefreshEnded{Subject: subject, Reason: reason, Attempt: attempt, Outcome: outcome,
		Rotated: !s.held().RefreshToken.Equal(before), Waiters: int(s.waiters.Load()), Duration: time.Since(start), Err: err}
	if t != nil {
		end.Token = t.access.Token.Fingerprint()
	}
	s.settled.Store(true)
	f.answer(t, err)
	s.watch().refreshEnded(end)
	if errors.Is(err, ErrLoginRequired) {
		s.watch().loginRequired(LoginRequiredEvent{subject, err})
	}
	return t, err
}

// why returns the reason of the refresh.
func (f *flight) why() Reason {
	t := f.s.current(f.target)
	switch {
	case t == nil:
		return ReasonNone
	case t.rejected.Load():
		return ReasonRejected
	case t.freshness(time.Now()) == stale:
		return ReasonStale
	}
	return ReasonExpired
}

func (s *Source) attempt() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble.failures() + 1
}

// rounds makes one Update after the other until one brings a token or fails.
func (f *flight) rounds() (*issue, Outcome, error) {
	s := f.s
	for range maxRounds {
		x := &exchange{s: s, target: f.target}
		err := f.update(x)
		switch {
		case x.made != nil:
			return f.received(x, err)
		case err == nil && x.restored != nil:
			s.stored(x)
		case x.restored != nil:
			s.keep(x, err)
			s.watch().saveFailed(SaveFailed{s.subject(f.target), err})
			return nil, OutcomeFailed, s.fail(asRefreshError(err, StoreFailed), nil, f.target)
		case err == nil:
			s.adopt(x.took)
			if t := s.current(f.target); t.freshness(time.Now()) != expired {
				s.succeed()
				return t, OutcomeAdopted, nil
			}
		default:
			if err = f.failed(x, err); err != nil {
				return nil, OutcomeFailed, err
			}
		}
	}
	err := &RefreshError{Kind: StoreFailed, Err: errors.New("the record changes faster than it can be read")}
	return nil, OutcomeFailed, s.fail(err, nil, f.target)
}

// update makes one Update. Its callers are let go when it takes too long: it
// goes on without them.
func (f *flight) update(x *exchange) error {
	cfg := f.s.cfg
	overdue := time.AfterFunc(cfg.exclusionTimeout()+exchangeGrace, func() { f.overdue(errExclusion, StoreFailed) })
	defer func() { overdue.Stop() }()
	x.asking = func() {
		overdue.Stop()
		overdue = time.AfterFunc(cfg.refreshTimeout()+exchangeGrace, func() { f.overdue(errTimeout, Transient) })
	}
	var grace *time.Timer
	x.saving = func() {
		overdue.Stop()
		grace = time.AfterFunc(saveGrace, func() { f.unsaved(x) })
	}
	err := f.s.update(x.refresh)
	if grace != nil {
		grace.Stop()
	}
	return err
}

var errTimeout = errors.New("the refresh takes longer than RefreshTimeout")

func (f *flight) overdue(err error, kind Kind) {
	f.once.Do(func() {
		f.err = f.s.fail(&RefreshError{Kind: kind, Err: err, OutcomeUnknown: kind == Transient}, nil, f.target)
		close(f.answered)
	})
}

// unsaved lets the callers have a new token while the store still tries to save
// it.
func (f *flight) unsaved(x *exchange) {
	kept := f.s.keep(x, nil)
	if x.err != nil {
		f.answer(nil, asRefreshError(x.err, Transient))
	} else {
		f.answer(f.s.current(f.target), nil)
	}
	if kept {
		f.s.watch().saveFailed(SaveFailed{f.s.subject(f.target), errSlowSave})
	}
}

var errSlowSave = errors.New("the store has not saved it yet")

// received ends a flight that brought a new record; err is what became of saving
// it.
func (f *flight) received(x *exchange, err error) (*issue, Outcome, error) {
	s, outcome := f.s, OutcomeExchanged
	if err == nil {
		s.stored(x)
	} else {
		s.keep(x, err)
		outcome = OutcomeUnsaved
		defer s.watch().saveFailed(SaveFailed{s.subject(f.target), err})
	}
	if x.err != nil {
		return nil, OutcomeFailed, s.fail(asRefreshError(x.err, Transient), nil, f.target)
	}
	s.succeed()
	return s.current(f.target), outcome, nil
}

// failed returns what the callers are told about an Update that failed, or nil
// if the store is to be read once more: what was refused may have been renewed
// by another.
func (f *flight) failed(x *exchange, err error) error {
	s := f.s
	if x.took != nil && x.took.Exists() {
		s.adopt(x.took)
	}
	if !x.sent {
		return s.fail(asRefreshError(err, StoreFailed), nil, f.target)
	}
	re := asRefreshError(err, Transient)
	if re.Kind == LoginRequired || re.Doubtful {
		stored, lerr := s.load()
		if lerr == nil && stored.Newer(x.took) && !stored.RefreshToken.Equal(x.took.RefreshToken) {
			return nil
		}
		if lerr != nil && re.Kind == LoginRequired { // there may be another, of which this process can't know
			s.refuse(x.took, re)
			return s.fail(asRefreshError(lerr, StoreFailed), nil, f.target)
		}
	}
	return s.fail(re, x.took, f.target)
}
