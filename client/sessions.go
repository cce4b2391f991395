package client

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/freshet-go/freshet/transport"
)

// restTime is how long, at least, a Client keeps a session that is not asked for.
const restTime = 10 * time.Minute

// sessions are those of a Client: one for each account that is in use anywhere in the
// program, however many ask for it. They lie in shards, so that nobody waits for who asks
// for another account.
type sessions struct {
	closed atomic.Bool
	seed   maphash.Seed
	shards [64]shard
}

type shard struct {
	mu     sync.Mutex       // guards what follows
	places map[string]place // by account
	swept  time.Time
}

// A place has the Session of an account while it is asked for. After that it only knows
// it, for as long as the program has it, and its Source, for as long as anything has that:
// a view, a RoundTripper, a goroutine that refreshes or tries to save.
type place struct {
	held   *Session
	known  weak.Pointer[Session]          // where held is nil
	source weak.Pointer[transport.Source] // where held is nil
	asked  bool                           // since the last sweep
}

func newSessions() *sessions { return &sessions{seed: maphash.MakeSeed()} }

// get returns the Session of an account, made by create if there is none, of the Source
// that there is, or nil. hold keeps it for who asks next.
func (all *sessions) get(account string, hold bool, create func(account string, source *transport.Source) *Session) *Session {
	sh := &all.shards[maphash.String(all.seed, account)%uint64(len(all.shards))]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if now := time.Now(); now.Sub(sh.swept) >= restTime {
		sh.sweepLocked(now)
	}
	p := sh.places[account]
	s := p.session()
	if s == nil {
		s = create(account, p.source.Value())
	}
	switch {
	case hold && !p.asked:
		sh.placeLocked(account, place{held: s, asked: true})
	case p.held == nil:
		sh.placeLocked(account, resting(s))
	}
	return s
}

func resting(s *Session) place { return place{known: weak.Make(s), source: weak.Make(s.source)} }

func (p *place) session() *Session {
	if p.held != nil {
		return p.held
	}
	return p.known.Value()
}

func (p *place) any() *transport.Source {
	if p.held != nil {
		return p.held.source
	}
	return p.source.Value()
}

func (sh *shard) placeLocked(account string, p place) {
	if sh.places == nil {
		sh.places = make(map[string]place)
	}
	sh.places[account] = p
}

// sweepLocked lets go of what was not asked for since the last time, and forgets what
// nothing has any more.
func (sh *shard) sweepLocked(now time.Time) {
	sh.swept = now
	for account, p := range sh.places {
		switch {
		case p.asked:
			sh.places[account] = place{held: p.held}
		case p.held != nil:
			sh.places[account] = resting(p.held)
		case p.any() == nil:
			delete(sh.places, account)
		}
	}
}

// close returns what anything has still, by account.
func (all *sessions) close() map[string]*transport.Source {
	all.closed.Store(true)
	open := make(map[string]*transport.Source)
	for i := range all.shards {
		all.shards[i].collect(open)
	}
	return open
}

func (sh *shard) collect(open map[string]*transport.Source) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for account, p := range sh.places {
		if source := p.any(); source != nil {
			open[account] = source
		}
	}
}
