package transport

import (
	"errors"
	"time"
)

// When and how long refreshing after 401s is stopped.
const (
	breakerStrikes = 3
	breakerWindow  = time.Minute
	breakerFirst   = 30 * time.Second // doubling
	breakerMax     = 10 * time.Minute
	breakerTrial   = time.Second // an API that takes a token once and no more
)

// A breaker stops refreshing after 401s when an API rejects every fresh token:
// such a server must not cost a refresh for each request. It does not touch
// refreshes before expiry.
//
// A strike is a token that came for one that was rejected while it was fresh, and
// is rejected in its turn, fresh too: before it was ever accepted, or within
// breakerTrial. Tokens that are due for a refresh do not count: at many servers
// they die when the refresh rotates them, and what is under way then is answered
// 401.
type breaker struct {
	strikes int
	last    span // since the last strike, as long as it counts
	open    span
	opened  int // times in a row
}

// strike counts one more token rejected, and reports whether that opens the
// breaker.
func (b *breaker) strike(now time.Time) bool {
	if b.last.left(now) == 0 {
		*b = breaker{}
	}
	b.strikes++
	b.last = newSpan(now, breakerWindow)
	if b.strikes < breakerStrikes {
		return false
	}
	length := jitter(min(breakerFirst<<min(b.opened, 10), breakerMax))
	b.opened++
	b.open = newSpan(now, length)
	// Strikes count on: once it is over, one fresh token shows whether anything
	// has changed.
	b.last = newSpan(now, length+breakerMax)
	return true
}

var errBreaker = errors.New("the API rejects every fresh token: refreshing after a 401 is stopped for now")

// reject marks t, the current token, as rejected by an API, so that the next
// caller gets another; unless the breaker is open: then it is an error, and the
// token stays in use.
func (s *Source) reject(t *issue) error {
	s.strike(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if left := s.trouble.breakerLeft(time.Now()); left > 0 {
		return &RefreshError{Kind: Transient, RetryAfter: left, Err: errBreaker}
	}
	if cur := s.current(t.access.Target); cur.is(t) {
		if cur.freshness(time.Now()) == fresh {
			cur.early.Store(true)
		}
		cur.reject()
	}
	return nil
}

// strike notes that t was rejected. It counts once, and only if t came in place
// of another that was rejected.
func (s *Source) strike(t *issue) {
	now := time.Now()
	proved := t.accepted.Load() && now.Sub(t.access.Issued) >= breakerTrial
	if !t.remedy || proved || t.freshness(now) != fresh || !t.struck.CompareAndSwap(false, true) {
		return
	}
	s.mu.Lock()
	b := &s.troubleLocked().breaker
	opened := b.strike(now)
	length := b.open.length
	s.mu.Unlock()
	if opened {
		s.watch().breaker(Breaker{Subject: s.subject(t.access.Target), Open: true, For: length})
	}
}

// accept notes that an API took t, which came in place of a rejected token. Where
// the breaker had been open, that closes it; strikes are forgotten in time.
func (s *Source) accept(t *issue) {
	if !t.remedy || t.accepted.Load() || t.accepted.Swap(true) {
		return
	}
	s.mu.Lock()
	closes := s.trouble != nil && s.trouble.breaker.opened > 0 && s.trouble.breakerLeft(time.Now()) == 0
	if closes {
		s.trouble.breaker = breaker{}
	}
	s.mu.Unlock()
	if closes {
		s.watch().breaker(Breaker{Subject: s.subject(t.access.Target)})
	}
}
