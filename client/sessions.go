package client

import (
	"hash/maphash"
	"maps"
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

// A shard has sessions by account, each in one of three places.
type shard struct {
	mu      sync.Mutex          // guards what follows
	asked   map[string]*Session // for since the last turn
	held    map[string]*Session // that were asked for before it
	resting map[string]resting  // that were not
	turned  time.Time
}

// A resting session is only known: for as long as the program has it, and its Source for as
// long as anything has that, a view, a RoundTripper, a goroutine that refreshes or tries
// to save.
type resting struct {
	session weak.Pointer[Session]
	source  weak.Pointer[transport.Source]
}

func newSessions() *sessions { return &sessions{seed: maphash.MakeSeed()} }

// get returns the Session of an account, made by create if there is none, of the Source
// that there is, or nil. hold keeps it for who asks next.
func (all *sessions) get(account string, hold bool, create func(account string, source *transport.Source) *Session) *Session {
	sh := &all.shards[maphash.String(all.seed, account)%uint64(len(all.shards))]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if time.Since(sh.turned) >= restTime {
		sh.turnLocked()
	}
	if s := sh.asked[account]; s != nil {
		return s
	}
	s, known := sh.held[account], sh.resting[account]
	if s == nil {
		s = known.session.Value()
	}
	if s == nil {
		s = create(account, known.source.Value())
	}
	switch {
	case hold:
		sh.asked[account] = s
		delete(sh.held, account)
		delete(sh.resting, account)
	case sh.held[account] == nil:
		sh.resting[account] = resting{weak.Make(s), weak.Make(s.source)}
	}
	return s
}

// turnLocked lets go of what was not asked for since the last turn, and forgets what
// nothing has any more.
func (sh *shard) turnLocked() {
	if sh.resting == nil {
		sh.resting = make(map[string]resting)
	}
	maps.DeleteFunc(sh.resting, func(_ string, r resting) bool { return r.source.Value() == nil })
	for account, s := range sh.held {
		sh.resting[account] = resting{weak.Make(s), weak.Make(s.source)}
	}
	sh.held, sh.asked = sh.asked, make(map[string]*Session)
	sh.turned = time.Now()
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
	for _, place := range []map[string]*Session{sh.asked, sh.held} {
		for account, s := range place {
			open[account] = s.source
		}
	}
	for account, r := range sh.resting {
		if source := r.source.Value(); source != nil {
			open[account] = source
		}
	}
}
