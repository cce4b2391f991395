package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A kept is what a keeper knows of one session. Whoever works on it has it alone.
type kept struct {
	key     string
	account string
	named   bool      // by the program; otherwise the record says the account
	due     time.Time // when it is worked on next
	scan    uint32    // the last that has found it

	seen    stamp    // the record for which due was drawn
	refused stamp    // the record that needs a login
	looks   uint8    // at the session since then, in vain
	session *Session // had as long as it fails, because it knows how long to pause

	outcome outcome // of the last work
}

// A stamp tells a record from those before and after it.
type stamp struct {
	session    string
	generation uint64
}

// An outcome is what work on a session says about the server and the store.
type outcome uint8

const (
	idle   outcome = iota // nothing: it was not time
	worked                // they do their part
	failed                // one of them does not
	gone                  // nothing is stored
	closed                // the client is
)

// The pauses of a keeper.
const (
	maxLook  = 5 * time.Minute // between two looks at a session that needs a login
	minRetry = time.Second     // after a failure
)

// work does what is due, and sets when something is next.
func (s *kept) work(ctx context.Context, k *keeper) {
	s.outcome = idle
	ended := false
	defer func() {
		if !ended { // by a panic or a Goexit of the program's store
			recover()
			s.fail(errStoreEnded)
		}
	}()
	s.look(ctx, k)
	ended = true
}

var errStoreEnded = errors.New("the store ended the goroutine")

// look looks at what is stored, and sees to it.
func (s *kept) look(ctx context.Context, k *keeper) {
	rec, err := k.client.load(ctx, s)
	switch {
	case errors.Is(err, tokenstore.ErrNotFound) && !k.client.begins():
		s.outcome = gone
		s.lookAgain(k)
	case errors.Is(err, tokenstore.ErrNotFound):
		s.renew(ctx, k)
	case errors.Is(err, tokenstore.ErrCorrupt), errors.Is(err, transport.ErrIdentity):
		if s.looks == 0 {
			k.client.warn("keep-alive: the record can't be read", "key", s.key)
		}
		s.lookAgain(k)
	case err != nil:
		s.fail(err)
	default:
		s.keep(ctx, k, rec)
	}
}

// keep renews the session if its time has come since the record was first seen.
func (s *kept) keep(ctx context.Context, k *keeper, rec *tokenstore.Record) {
	at := stamp{rec.Session, rec.Generation}
	if at == s.refused || rec.Ended || rec.RefreshToken.IsZero() && !k.client.begins() {
		s.refused = at
		s.lookAgain(k)
		return
	}
	if at != s.seen {
		s.seen, s.looks = at, 0
		s.due = transport.RefreshPoint(rec, "", k.client.cfg.RefreshBefore)
		if s.due.After(time.Now()) {
			s.session = nil
			return
		}
	}
	s.renew(ctx, k)
}

func (s *kept) renew(ctx context.Context, k *keeper) {
	if s.session == nil {
		s.session = k.client.session(s.account, false)
	}
	err := s.session.renew(ctx)
	switch {
	case err == nil:
		s.outcome, s.looks = worked, 0
		s.due = later(s.session.nextRenewal(), time.Now().Add(minRetry))
		s.session = nil
	case errors.Is(err, ErrLoginRequired):
		s.outcome, s.refused = worked, s.seen
		s.lookAgain(k)
	case errors.Is(err, transport.ErrClosed):
		s.outcome = closed
	default:
		s.fail(err)
	}
}

// fail sets when to try again: when the session says so, since it knows the pauses
// that came before.
func (s *kept) fail(err error) {
	var re *transport.RefreshError
	wait := minRetry
	if errors.As(err, &re) {
		wait = max(wait, re.RetryAfter)
	}
	s.outcome = failed
	s.due = time.Now().Add(wait + jitter(wait/4))
}

// lookAgain sets when to look for a login.
func (s *kept) lookAgain(k *keeper) {
	s.session = nil
	wait := k.rescan
	if wait < maxLook {
		wait = min(wait<<s.looks, maxLook)
	}
	s.looks = min(s.looks+1, 10)
	s.due = time.Now().Add(wait - wait/4 + jitter(wait/2))
}

// renew is [transport.Source.Renew].
func (s *Session) renew(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	return s.source.Renew(ctx)
}

// nextRenewal returns when the session is to be renewed again.
func (s *Session) nextRenewal() time.Time {
	st := s.source.Status()
	if st.RefreshAt.IsZero() {
		return st.Issued.Add(transport.UnknownLifetime)
	}
	return st.RefreshAt
}

// load reads the record of a session without its exclusion, and learns whose it is.
func (c *Client) load(ctx context.Context, s *kept) (*tokenstore.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*c.cfg.refreshTimeout())
	defer cancel()
	b, err := c.cfg.Store.Load(ctx, s.key)
	if err != nil {
		return nil, err
	}
	rec, err := tokenstore.DecodeRecord(b)
	if err != nil {
		return nil, err
	}
	if c.key(rec.Account) != s.key {
		return nil, transport.ErrIdentity
	}
	s.account = rec.Account
	return &rec, nil
}

// begins reports whether a session begins by itself.
func (c *Client) begins() bool { return c.cfg.Grant != nil }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// jitter returns a part of d.
func jitter(d time.Duration) time.Duration { return rand.N(d + 1) }
