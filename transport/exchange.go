package transport

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

var (
	errExclusion = errors.New("the store's exclusion was not to be had in time")
	errAborted   = errors.New("given up for a new login, Forget or Close")
	errLate      = errors.New("the exclusion ended before the refresh could be sent")
	errNoSession = errors.New("no session is stored")
	errEnded     = errors.New("the session was logged out")
	errNoToken   = errors.New("the answer has no access token")
	errNoRefresh = errors.New("the session has no refresh token")
)

// An exchange is what one Update of the record does: it settles which record is
// the truth, the stored one or the one in memory, and then does one thing about
// it. What is sent is what the store holds, read inside the same Update.
type exchange struct {
	s      *Source
	target string
	asking func() // called before the server is asked
	saving func() // called when made is on its way into the store

	took     *tokenstore.Record // the stored record, where that is the truth
	restored *tokenstore.Record // memory's, where that is: it is written first
	gone     bool               // nothing was stored
	made     *tokenstore.Record // what the server's answer made of took
	sent     bool               // the server was asked
	err      error              // of the answer that brought made
	settled  bool               // what was written is known to be; guarded by s.mu

	ended   []*tokenstore.Record // whose tokens a logout has revoked, or tried to
	revoked error                // what became of that
	told    atomic.Bool          // LoggedOut
}

// wrote returns what the Update wrote.
func (x *exchange) wrote() *tokenstore.Record {
	if x.made != nil {
		return x.made
	}
	return x.restored
}

// reconcile is the function of an Update that only settles which record is the
// truth: memory's where it is newer, and that is written; else the stored one.
func (x *exchange) reconcile(ctx context.Context, stored *tokenstore.Record, unreadable error) (*tokenstore.Record, error) {
	held := x.s.held()
	if unreadable != nil && (held.Generation != firstGeneration || errors.Is(unreadable, tokenstore.ErrVersion)) {
		return nil, unreadable // only a login replaces what can't be read
	}
	if !outranks(held, stored) {
		x.took = stored
		return nil, tokenstore.ErrUnchanged
	}
	if err := x.s.refused(held); err != nil && !held.Ended && !stored.Exists() {
		return nil, err
	}
	if held.Ended {
		x.revoke(ctx, stored)
	}
	x.restored, x.gone = held, !stored.Exists()
	return held, nil
}

// firstGeneration is that of a record which a login made.
const firstGeneration = 1

// outranks reports whether held, the record of this process, is the truth beside
// rec: it is newer, and not the same login once more. Where two processes import
// one seed and neither finds the other's session, each draws an id, and the greater
// one says nothing: a logout that is stored has ended both, and where the refresh
// token of held is the seed, that may be spent.
func outranks(held, rec *tokenstore.Record) bool {
	again := held.Seed != "" && held.Seed == rec.Seed && held.Session != rec.Session
	if again && (held.Generation == firstGeneration || rec.Ended && !held.Ended) {
		return false
	}
	return held.Newer(rec)
}

// refresh is the function of an Update that brings a token: the stored one if it
// serves, else a new one. What is newer in memory is written first, in an Update
// of its own.
func (x *exchange) refresh(ctx context.Context, stored *tokenstore.Record, unreadable error) (*tokenstore.Record, error) {
	if unreadable != nil {
		return nil, unreadable
	}
	if held, err := x.reconcile(ctx, stored, nil); !errors.Is(err, tokenstore.ErrUnchanged) {
		return held, err
	}
	if x.serves(stored) {
		return nil, tokenstore.ErrUnchanged
	}
	if err := x.s.hopeless(stored); err != nil {
		return nil, err
	}
	return x.ask(ctx)
}

// login returns the function of an Update that begins a session with rec, over
// whatever is stored; a session that was begun with the same seed goes on.
func (x *exchange) login(rec *tokenstore.Record) func(context.Context, *tokenstore.Record, error) (*tokenstore.Record, error) {
	return func(ctx context.Context, stored *tokenstore.Record, unreadable error) (*tokenstore.Record, error) {
		if errors.Is(unreadable, tokenstore.ErrVersion) {
			return nil, unreadable // a newer program's session
		}
		last := x.s.held()
		if !last.Newer(stored) {
			last = stored
		}
		if rec.Seed != "" && rec.Seed == last.Seed {
			return x.reconcile(ctx, stored, nil)
		}
		rec.Session = tokenstore.NewSessionID(last.Session)
		x.made = rec
		x.saving()
		return rec, nil
	}
}

// serves reports whether stored has a token for the target that can be taken
// without asking the server: a fresh one that was not rejected.
func (x *exchange) serves(stored *tokenstore.Record) bool {
	for i := range stored.Access {
		if stored.Access[i].Target != x.target {
			continue
		}
		t := newIssue(stored, i, x.s.cfg.refreshBefore())
		cur := x.s.current(x.target)
		t.follow(cur, false) // a second draw of the jitter may call a stale token fresh
		rejected := cur != nil && cur.rejected.Load() && cur.access.Token.Equal(t.access.Token)
		return !rejected && t.freshness(time.Now()) == fresh
	}
	return false
}

// hopeless returns the error of a refresh that would not be worth sending.
func (s *Source) hopeless(rec *tokenstore.Record) error {
	switch {
	case rec.Ended:
		return &RefreshError{Kind: LoginRequired, Err: errEnded}
	case s.cfg.NeedsLogin && !rec.Exists():
		return &RefreshError{Kind: LoginRequired, Err: errNoSession}
	case s.cfg.NeedsLogin && rec.RefreshToken.IsZero():
		return &RefreshError{Kind: LoginRequired, Err: errNoRefresh}
	}
	return s.refused(rec)
}

// ask asks the server, and makes the next record of its answer.
func (x *exchange) ask(ctx context.Context) (*tokenstore.Record, error) {
	if late(ctx) {
		return nil, &RefreshError{Kind: StoreFailed, Err: errLate}
	}
	ctx, cancel := context.WithTimeout(ctx, x.s.cfg.refreshTimeout())
	defer cancel()
	start := time.Now().Round(0)
	x.sent = true
	x.asking()
	made, err := x.s.cfg.Refresh(ctx, x.took.Clone(), x.target)
	rotated := !made.RefreshToken.IsZero() && !made.RefreshToken.Equal(x.took.RefreshToken)
	if err != nil && !rotated {
		return nil, err
	}
	x.err = x.follow(&made, start, err)
	x.made = &made
	x.saving()
	return x.made, nil
}

// late reports whether ctx is over by either clock: while a machine sleeps only
// the wall clock goes on, and the lease of a store with it.
func late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Round(0).Before(deadline.Round(0))
}

// follow makes made the successor of took. Nothing that is wrong with the access
// token may cost the refresh token that came with it; err is what the callers
// get instead of an access token.
func (x *exchange) follow(made *tokenstore.Record, start time.Time, err error) error {
	*made = made.Clone()
	made.Session, made.Ended = x.took.Session, false
	if !x.took.Exists() {
		made.Session = tokenstore.NewSessionID("")
	}
	x.s.identify(made)
	made.Generation = x.took.Generation + 1
	bad := tokenstore.CheckToken(made.RefreshToken.Reveal())
	if bad != nil || made.RefreshToken.IsZero() {
		made.RefreshToken = x.took.RefreshToken // the last one goes on (RFC 6749 §6)
	}
	if err != nil {
		made.Access = x.took.Clone().Access // nor is what came with an error handed out next time
	}
	if err = errors.Join(err, sound(made)); err != nil {
		return err
	}
	t, _ := made.Token(x.target)
	if t.Token.IsZero() {
		return errNoToken
	}
	t.Generation = made.Generation
	if t.Issued.IsZero() {
		t.Issued = start
	}
	made.SetToken(t)
	if schemeOf(&t) != bearer && !bound(made, &t) {
		return &RefreshError{Kind: Misconfigured, Err: fmt.Errorf("the server gave a token of type %.20q, and only Bearer can be sent", t.Type)}
	}
	return bad
}

// sound leaves out of rec the access tokens that no record has, puts the others in
// order and makes their times wall time.
func sound(rec *tokenstore.Record) (err error) {
	all := rec.Access
	rec.Access = nil
	for _, t := range all {
		if bad := tokenstore.CheckToken(t.Token.Reveal()); bad != nil {
			err = errors.Join(err, bad)
			continue
		}
		t.Issued, t.Expiry = t.Issued.Round(0), t.Expiry.Round(0)
		rec.SetToken(t)
	}
	return err
}
