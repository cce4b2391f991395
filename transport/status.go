package transport

import (
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// A State says in a word how a session stands.
type State string

// The states of a session.
const (
	StateUnknown       State = "unknown" // not read from the store yet
	StateFresh         State = "fresh"
	StateStale         State = "stale"   // served, and due for a refresh
	StateExpired       State = "expired" // refreshed when it is asked for
	StateLoginRequired State = "login required"
	StateLoggedOut     State = "logged out" // a login is required, because of a logout
)

// A Status is how a session stands, for health checks.
type Status struct {
	State         State
	Account       string
	Issued        time.Time     // of the session's own access token
	Expiry        time.Time     // of the same; zero is unknown
	RefreshAt     time.Time     // when it is refreshed ahead of its expiry; zero is unknown
	RefreshExpiry time.Time     // of the refresh token; zero is unknown
	Unsaved       bool          // the newest record is not in the store
	Failures      int           // of refreshing, since it worked last
	Err           error         // of the last refresh, nil after one that worked
	RetryAfter    time.Duration // until the next refresh is tried
	BreakerOpen   bool          // refreshing after 401s is stopped
}

// Status returns how the session stands. It does no I/O.
func (s *Source) Status() Status {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.heldLocked()
	st := Status{
		Account: rec.Account, RefreshExpiry: rec.RefreshExpiry, Unsaved: s.unsaved != nil,
		Failures: s.trouble.failures(), BreakerOpen: s.trouble.breakerLeft(now) > 0,
	}
	t := s.current("")
	if t != nil {
		st.Issued, st.Expiry, st.RefreshAt = t.access.Issued, t.access.Expiry, t.refreshAt
	}
	st.State = s.stateLocked(t, rec, now)
	if rec.Ended {
		st.Err = &RefreshError{Kind: LoginRequired, Err: errEnded}
	} else if err := s.trouble.lastError(); err != nil {
		st.Err = own(err)
		st.RetryAfter = s.trouble.pause.span(t.freshness(now)).left(now)
	}
	return st
}

func (s *Source) stateLocked(t *issue, rec *tokenstore.Record, now time.Time) State {
	switch t.freshness(now) {
	case fresh:
		return StateFresh
	case stale:
		return StateStale
	}
	err := s.trouble.lastError()
	switch {
	case rec.Ended:
		return StateLoggedOut
	case err != nil && err.Kind == LoginRequired:
		return StateLoginRequired
	case !rec.Exists():
		return StateUnknown
	}
	return StateExpired
}
