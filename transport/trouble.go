package transport

import (
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// A trouble is what a Source remembers of failures. Most Sources have none: nil.
type trouble struct {
	pause   pause
	wrong   map[string]*pause // by target: what the server does not give for it
	refusal refusal
	breaker breaker
}

func (t *trouble) failures() int {
	if t == nil {
		return 0
	}
	return t.pause.failures
}

// lastError is that of the last refresh, nil after one that worked.
func (t *trouble) lastError() *RefreshError {
	if t == nil {
		return nil
	}
	return t.pause.err
}

// breakerLeft returns how long the breaker is open still.
func (t *trouble) breakerLeft(now time.Time) time.Duration {
	if t == nil {
		return 0
	}
	return t.breaker.open.left(now)
}

// troubleLocked returns the trouble to note something in.
func (s *Source) troubleLocked() *trouble {
	if s.trouble == nil {
		s.trouble = new(trouble)
	}
	return s.trouble
}

// paused returns the error of the last refresh while the pause after it lasts: that of
// the session, or that of the target alone.
func (s *Source) paused(now time.Time, f freshness, target string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == nil {
		return nil
	}
	if err := s.trouble.pause.during(now, f); err != nil {
		return err
	}
	if p := s.trouble.wrong[target]; p != nil {
		return p.during(now, f)
	}
	return nil
}

// refused returns why the refresh token of rec must not be sent now, or nil.
func (s *Source) refused(rec *tokenstore.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == nil {
		return nil
	}
	r := &s.trouble.refusal
	if r.token != hashOf(rec.RefreshToken) || r.span.left(time.Now()) == 0 {
		return nil
	}
	re := *r.err
	return &re
}

// refuse remembers that the refresh token of rec was refused.
func (s *Source) refuse(rec *tokenstore.Record, re *RefreshError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.troubleLocked().refusal = refusal{hashOf(rec.RefreshToken), newSpan(time.Now(), refusedWait), re}
}

// maxDoubts is how many Doubtful answers running, to a token that has expired,
// are taken for the end of the session.
const maxDoubts = 3

// fail notes a failed refresh, and returns what its callers are told: a copy, for
// they may do with it what they like.
func (s *Source) fail(re *RefreshError, sent *tokenstore.Record, target string) *RefreshError {
	now := time.Now()
	t := s.current(target)
	usable := t.freshness(now) != expired
	s.mu.Lock()
	if re.Kind == Misconfigured && target != "" {
		defer s.mu.Unlock()
		return s.failTargetLocked(re, target, now)
	}
	p := &s.troubleLocked().pause
	if re.Doubtful {
		if p.doubts++; p.doubts >= maxDoubts && !usable {
			re = &RefreshError{Kind: LoginRequired, Err: re.Err}
		}
	} else {
		p.doubts = 0
	}
	var validFor time.Duration
	if usable {
		validFor = t.access.Expiry.Sub(now)
	}
	*p = p.after(re, validFor, now)
	told := *re
	told.RetryAfter = p.span(t.freshness(now)).left(now)
	s.mu.Unlock()
	if re.Kind == LoginRequired && sent != nil {
		s.refuse(sent, re)
	}
	return &told
}

// failTargetLocked notes that the server does not give a token for target (RFC 8707
// §2: invalid_target). The session's other tokens are not paused for it.
func (s *Source) failTargetLocked(re *RefreshError, target string, now time.Time) *RefreshError {
	t := s.troubleLocked()
	if t.wrong == nil {
		t.wrong = make(map[string]*pause)
	}
	p := pause{}.after(re, 0, now)
	t.wrong[target] = &p
	told := *re
	told.RetryAfter = p.expired.left(now)
	return &told
}

// succeed forgets the failures of refreshes.
func (s *Source) succeed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch t := s.trouble; {
	case t == nil:
	case t.wrong == nil && t.breaker == breaker{}:
		s.trouble = nil
	default:
		t.pause, t.refusal = pause{}, refusal{}
	}
}
