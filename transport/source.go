package transport

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/freshet-go/freshet/tokenstore"
)

// A Source keeps the tokens of one session: it hands them out, refreshes them
// once for all who ask, and keeps them in a store. Make it with [NewSource]; it
// is safe for concurrent use. An idle Source has no goroutine and no timer.
//
// The life of a token:
//
//	(none) ── load ──► FRESH ── refresh point ──► STALE ── expiry ──► EXPIRED
//	                     ▲ └──────── rejected by a 401 ────────────────► EXPIRED
//	                     └── one flight: adopt what another process stored,
//	                         or exchange and save
//
// A fresh token is handed out without a lock. A stale one is, too, and refreshed
// behind the caller, but for the first refresh of a process whose token came out
// of the store: that one is waited for, because a short-lived program may exit
// between the server's rotation and the save. For an expired one callers wait,
// each on its own context, and none of them can cancel the refresh.
type Source struct {
	cfg     *SourceConfig // shared by all that With made; its Account is the first one's
	account string

	cur     atomic.Pointer[state] // what is handed out; nil before the first load
	settled atomic.Bool           // a refresh or a login of this process has ended
	waiters atomic.Int32

	mu      sync.Mutex // guards what follows; nothing that can block runs with it
	closed  bool
	gaveUp  bool                 // Close has returned
	unsaved *unsaved             // what the store is not known to hold
	orphans []*tokenstore.Record // once unsaved, to be revoked when what took their place is stored
	trouble *trouble             // nil if there is none
	work    *work                // nil if nothing runs
	flights *singleflight.Group  // by target; nil if none is to be joined
}

// A state is a record and its tokens, ready for use. It never changes.
type state struct {
	record *tokenstore.Record
	issues []issue
}

func (st *state) issue(target string) *issue {
	if st == nil {
		return nil
	}
	for i := range st.issues {
		if t := &st.issues[i]; t.access.Target == target {
			return t
		}
	}
	return nil
}

// NewSource returns a Source. It does no I/O.
func NewSource(cfg SourceConfig) (*Source, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Store == nil {
		cfg.Store, cfg.Key = new(tokenstore.Memory), "session"
	}
	cfg.Store = discreet{cfg.Store}
	if cfg.Observer == nil {
		cfg.Observer = new(Observer)
	}
	return &Source{cfg: &cfg, account: cfg.Account}, nil
}

// With returns a Source like s for the session of another account, whose record is under
// KeyFor(account). What they have in common is there once, however many sessions a program
// has. It does no I/O, and panics where s was made without KeyFor.
func (s *Source) With(account string) *Source {
	if s.cfg.KeyFor == nil {
		panic("transport: With: SourceConfig.KeyFor is nil, so that all would have one record")
	}
	return &Source{cfg: s.cfg, account: account}
}

func (s *Source) key() string { return s.cfg.key(s.account) }

// Format prints which session the Source has, for every verb.
func (s *Source) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "transport.Source(%q)", s.key()) }

// Token returns an access token for target, "" being the session's own: the one
// at hand if it is fresh, else as the life of a token has it. Every error is a
// *[RefreshError], except [ErrClosed].
func (s *Source) Token(ctx context.Context, target string) (Token, error) {
	if t := s.current(target); t != nil && t.glance.at(t) {
		return Token{t}, nil
	}
	return s.renewed(ctx, target)
}

// Refresh returns a token other than rejected, which an API answered with 401:
// the current one if that is another, else a new one. However many callers were
// rejected, it is one refresh. The zero Token asks as [Source.Token] does.
//
// When an API rejects one fresh token after the other, Refresh fails for a while
// without asking the server.
func (s *Source) Refresh(ctx context.Context, rejected Token) (Token, error) {
	target := rejected.Target()
	if cur := s.current(target); cur != nil && cur.is(rejected.issue) {
		if err := s.reject(cur); err != nil {
			return Token{}, err
		}
	}
	return s.renewed(ctx, target)
}

func (s *Source) current(target string) *issue { return s.cur.Load().issue(target) }

// maxTurns bounds how often a caller waits for a flight that began before the
// token it brings was rejected.
const maxTurns = 3

// renewed is Token for all tokens that are not fresh.
func (s *Source) renewed(ctx context.Context, target string) (Token, error) {
	for range maxTurns {
		ch, t, err := s.board(ctx, target)
		if ch != nil {
			t, err = s.wait(ctx, ch)
			if err != nil {
				return s.insteadOf(err, target)
			}
		}
		if err != nil || !t.rejected.Load() {
			return Token{t}, err
		}
	}
	return Token{}, &RefreshError{Kind: Transient, Err: errors.New("the API rejects every new token")}
}

// board returns the flight that the caller is to wait for, or what it gets without.
func (s *Source) board(ctx context.Context, target string) (<-chan singleflight.Result, *issue, error) {
	if ctx.Err() != nil {
		return nil, nil, cancelled(ctx)
	}
	if s.shutting() {
		return nil, nil, ErrClosed
	}
	now := time.Now()
	t := s.current(target)
	f := t.freshness(now)
	if f == fresh {
		return nil, t, nil
	}
	err := s.paused(now, f, target)
	switch {
	case err != nil && f == stale:
		return nil, t, nil
	case err != nil:
		return nil, nil, err
	case f == stale && s.settled.Load():
		s.fly(target)
		return nil, t, nil
	}
	return s.fly(target), nil, nil
}

// insteadOf returns the token for target if it can still be used although
// refreshing it failed.
func (s *Source) insteadOf(err error, target string) (Token, error) {
	if asRefreshError(err, Transient).Kind != Cancelled {
		if t := s.current(target); t.freshness(time.Now()) != expired {
			return Token{t}, nil
		}
	}
	return Token{}, err
}

// fly starts a flight for target, or joins the one that is under way.
func (s *Source) fly(target string) <-chan singleflight.Result {
	return s.group().DoChan(target, func() (any, error) {
		f := &flight{s: s, target: target, answered: make(chan struct{})}
		if !s.begin(f.run) {
			return nil, ErrClosed
		}
		<-f.answered
		return f.token, f.err
	})
}

// group returns the flights that callers join. None is lost with those that are left: a
// flight begins by looking whether another has ended meanwhile.
func (s *Source) group() *singleflight.Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights == nil {
		s.flights = new(singleflight.Group)
	}
	return s.flights
}

// wait waits for a flight on the caller's own context. Thousands may do that at once, so
// it is short of variables: a stack of 2 KiB is enough.
func (s *Source) wait(ctx context.Context, ch <-chan singleflight.Result) (t *issue, err error) {
	s.waiters.Add(1)
	select {
	case r := <-ch:
		t, err = landed(r.Val, r.Err)
	case <-ctx.Done():
		err = cancelled(ctx)
	}
	s.waiters.Add(-1)
	return t, err
}

// landed returns what a flight has brought.
func landed(v any, err error) (*issue, error) {
	if err != nil {
		return nil, own(err)
	}
	return v.(*issue), nil
}

// shutting reports whether Close was called.
func (s *Source) shutting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// publishLocked makes rec, which must not change any more, the record whose
// tokens are handed out, unless Close gave up. The caller knows that this process
// has no newer one, and says whether it made this one itself.
func (s *Source) publishLocked(rec *tokenstore.Record, own bool) {
	if s.gaveUp {
		return
	}
	old := s.cur.Load()
	if old != nil && (old.record.Session != rec.Session || rec.Ended) {
		s.flights = nil // they may bring a token of the session before
	}
	st := &state{record: rec, issues: make([]issue, len(rec.Access))}
	for i := range st.issues {
		t := &st.issues[i]
		t.prepare(rec, i, s.cfg.refreshBefore())
		t.follow(old.issue(t.access.Target), own)
	}
	s.cur.Store(st)
}

// held returns the newest record that this process has, or the zero Record.
func (s *Source) held() *tokenstore.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heldLocked()
}

func (s *Source) heldLocked() *tokenstore.Record {
	if s.unsaved != nil {
		return s.unsaved.record
	}
	if st := s.cur.Load(); st != nil {
		return st.record
	}
	return new(tokenstore.Record)
}

// watch returns who is told what happens.
func (s *Source) watch() watch { return watch{s.cfg.Observer, s.cfg.Logger} }

// subject is what events of the session say about it.
func (s *Source) subject(target string) Subject {
	return Subject{Key: s.key(), Account: s.held().Account, Target: target}
}
