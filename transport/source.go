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
	cfg   SourceConfig
	watch watch

	cur     atomic.Pointer[state] // what is handed out; nil before the first load
	settled atomic.Bool           // a refresh or a login of this process has ended
	waiters atomic.Int32
	flights atomic.Pointer[singleflight.Group] // by target
	turn    chan struct{}                      // holds a value while an operation on the record runs
	closing chan struct{}                      // closed by Close
	gone    chan struct{}                      // closed when Close returns
	busy    sync.WaitGroup                     // the goroutines of the Source

	mu      sync.Mutex // guards what follows; nothing that can block runs with it
	closed  bool
	gaveUp  bool                    // Close has returned
	saver   bool                    // a goroutine tries to save unsaved
	unsaved *unsaved                // what the store is not known to hold
	orphans []*tokenstore.Record    // once unsaved, to be revoked when what took their place is stored
	abort   context.CancelCauseFunc // ends the Update that is under way
	writing bool                    // that Update has a record to write
	pause   pause
	wrong   map[string]pause // by target: what the server does not give for it
	refusal refusal
	breaker breaker
}

// A state is a record and its tokens, ready for use. It never changes.
type state struct {
	record *tokenstore.Record
	issues []*issue
}

func (st *state) issue(target string) *issue {
	if st == nil {
		return nil
	}
	for _, t := range st.issues {
		if t.access.Target == target {
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
	s := &Source{
		cfg:     cfg,
		watch:   watch{cfg.Observer, cfg.Logger},
		turn:    make(chan struct{}, 1),
		closing: make(chan struct{}),
		gone:    make(chan struct{}),
	}
	s.leaveFlightsLocked()
	return s, nil
}

// Format prints which session the Source has, for every verb.
func (s *Source) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "transport.Source(%q)", s.cfg.Key) }

// Token returns an access token for target, "" being the session's own: the one
// at hand if it is fresh, else as the life of a token has it. Every error is a
// *[RefreshError], except [ErrClosed].
func (s *Source) Token(ctx context.Context, target string) (Token, error) {
	if t := s.current(target); t.freshness(time.Now()) == fresh {
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
		if ctx.Err() != nil {
			return Token{}, cancelled(ctx)
		}
		if s.shutting() {
			return Token{}, ErrClosed
		}
		now := time.Now()
		t := s.current(target)
		switch t.freshness(now) {
		case fresh:
			return Token{t}, nil
		case stale:
			if s.paused(now, stale, target) != nil {
				return Token{t}, nil
			}
			if s.settled.Load() {
				s.fly(target)
				return Token{t}, nil
			}
		default:
			if err := s.paused(now, expired, target); err != nil {
				return Token{}, err
			}
		}
		t, err := s.wait(ctx, s.fly(target))
		if err != nil {
			return s.insteadOf(err, target)
		}
		if !t.rejected.Load() {
			return Token{t}, nil
		}
	}
	return Token{}, &RefreshError{Kind: Transient, Err: errors.New("the API rejects every new token")}
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
	return s.flights.Load().DoChan(target, func() (any, error) {
		f := &flight{s: s, target: target, answered: make(chan struct{})}
		if !s.begin(f.run) {
			return nil, ErrClosed
		}
		<-f.answered
		return f.token, f.err
	})
}

// wait waits for a flight on the caller's own context.
func (s *Source) wait(ctx context.Context, ch <-chan singleflight.Result) (*issue, error) {
	s.waiters.Add(1)
	defer s.waiters.Add(-1)
	select {
	case r := <-ch:
		if r.Err != nil {
			return nil, own(r.Err)
		}
		return r.Val.(*issue), nil
	case <-ctx.Done():
		return nil, cancelled(ctx)
	}
}

// shutting reports whether Close was called.
func (s *Source) shutting() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// begin runs f in a goroutine that Close waits for, unless the Source is closed.
func (s *Source) begin(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.busy.Go(f)
	return true
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
		s.leaveFlightsLocked()
	}
	st := &state{record: rec, issues: make([]*issue, len(rec.Access))}
	for i := range rec.Access {
		t := newIssue(rec, i, s.cfg.refreshBefore())
		t.follow(old.issue(t.access.Target), own)
		st.issues[i] = t
	}
	s.cur.Store(st)
}

// leaveFlightsLocked keeps callers that come from now on from joining a flight that
// may bring a token of the session before.
func (s *Source) leaveFlightsLocked() { s.flights.Store(new(singleflight.Group)) }

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

// subject is what events of the session say about it.
func (s *Source) subject(target string) Subject {
	return Subject{Key: s.cfg.Key, Account: s.held().Account, Target: target}
}
