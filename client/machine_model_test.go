package client_test

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// A model is what the test knows of the world, and the judge of it: the refresh
// tokens that the server issued and what became of each, what the store holds and
// held, and what each process was seen to know. It decides nothing for the SDK
// and shares no code with it but the encoding of records.
type model struct {
	mu       sync.Mutex // guards everything below, in all types
	began    time.Time
	accounts []*user
	tokens   map[string]*rtoken // refresh tokens
	sessions map[string]*family // by the ids that were stored
	issued   map[string]*accessToken
	updates  int
	log      []string
	broken   []string       // properties that did not hold
	count    map[string]int // what happened, and losses by their excuse
}

// A user is an account, whose session is one record in the store.
type user struct {
	name   string
	key    string // of its record, once one was stored
	logins []*family
	inside *update // the Update whose function runs, or nil
	last   *update // the last one
	lost   map[string]time.Time
	news   int // counts what may end a pause: writes, losses, logins
	turns  int // counts what may end a session: logins, Forget, logouts, another session stored

	logouts []*logout
}

// A family is what the server has of one login.
type family struct {
	account *user
	seed    string
	dead    string // why its tokens are refused; "" while they are not

	importing int // Imports of it under way
	imported  time.Time
	begun     time.Time // the first Import
	tomb      time.Time // when its tombstone was last stored
	asked     bool      // the server was to revoke one of its tokens
	told      bool      // … and said that it has
}

// An rtoken is a refresh token.
type rtoken struct {
	family *family
	n      int     // 0 is the login's
	next   *rtoken // what the server issued for it
	sends  []*send
	stored time.Time // when it was last in a record that was written; zero is never
}

func (t *rtoken) String() string {
	a := t.family.account
	for i, f := range a.logins {
		if f == t.family {
			return fmt.Sprintf("%s.%d.%d", a.name, i+1, t.n)
		}
	}
	return a.name + ".?"
}

// A send is one token request.
type send struct {
	by       *process
	token    *rtoken
	update   int // the Update within which it was sent
	began    time.Time
	ended    time.Time // zero while its sender waits
	granted  bool      // the server acted
	heard    bool      // … and its answer arrived
	refused  bool      // invalid_grant arrived
	fate     string    // "answer", "lost", "late" (its sender gave up), "crash"
	unknown  bool      // the sender can't know whether the server acted
	wait     time.Duration
	validFor time.Duration // what was left of the access token when it ended
	news     int           // of the account, when it ended
	conflict bool          // the exclusion was lost when its successor was to be stored
}

// An accessToken is what is known of one.
type accessToken struct {
	version // of the record that it came with
	seen    time.Time
	settled bool // stored, or known to have failed
}

// A version is where a record stands among those of its account.
type version struct {
	session      string
	ended        bool
	generation   uint64
	refreshToken string
}

func versionOf(r *tokenstore.Record) version {
	return version{r.Session, r.Ended, r.Generation, r.RefreshToken.Reveal()}
}

// newer is the order of records, written down once more: not [tokenstore.Record.Newer], which
// is under test.
func (v version) newer(than version) bool {
	if v.session != than.session {
		return v.session > than.session
	}
	if v.ended != than.ended {
		return v.ended
	}
	return v.generation > than.generation
}

// An update is a call of Store.Update that has the exclusion.
type update struct {
	n     int
	by    *process
	read  *tokenstore.Record // nil where nothing was stored or it can't be read
	knew  version            // what by had of the account before it made something
	began time.Time
}

func (m *model) trace(format string, args ...any) {
	at := time.Since(m.began).Round(time.Millisecond)
	m.log = append(m.log, fmt.Sprintf("%12s  ", at)+fmt.Sprintf(format, args...))
}

func (m *model) violated(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	m.trace("VIOLATED %s", text)
	if len(m.broken) < 5 {
		m.broken = append(m.broken, text)
	}
}

// login notes a new session at the server.
func (m *model) login(a *user, refreshToken string) *family {
	f := &family{account: a, seed: refreshToken}
	a.logins = append(a.logins, f)
	m.tokens[refreshToken] = &rtoken{family: f}
	return f
}

// lose notes that what the store held of a was lost in that way.
func (m *model) lose(a *user, how string) {
	m.trace("%s: the record is lost: %s", a.name, how)
	m.count[how]++
	a.lost[how] = time.Now()
	a.news++
	if how == forgotten {
		a.turns++
	}
}

// lostSince reports whether what the store held of a was lost since then.
func (a *user) lostSince(then time.Time) bool {
	for _, at := range a.lost {
		if !at.Before(then) {
			return true
		}
	}
	return false
}

const forgotten = "Forget"

// enter notes that p has the exclusion of the record under key, in which it reads old; and
// leave, with what it makes of it, that it has not.
func (m *model) enter(p *process, key string, old *tokenstore.Record) (leave func(made *tokenstore.Record, unreadable bool)) {
	m.saw(old)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.updates++
	u := &update{n: m.updates, by: p, read: old, began: time.Now()}
	a := m.accountOf(key)
	if a != nil {
		a.inside, a.last = u, u
		p.forgot[a] = p.forgot[a] && old == nil
	}
	return func(made *tokenstore.Record, unreadable bool) {
		m.saw(made)
		m.mu.Lock()
		defer m.mu.Unlock()
		if a != nil {
			a.inside = nil
		}
		if made == nil {
			return
		}
		a := m.account(made.Account)
		a.key = key
		if unreadable && (made.Generation > 1 || made.Ended) && p.replacing[a] == 0 {
			m.violated("%s replaces what can't be read by %v, which is no login", p, made)
		}
		if p.forgot[a] && p.replacing[a] == 0 {
			m.violated("%s writes %v, which it was told to forget", p, made)
		}
		p.forgot[a] = false
		u.knew = p.known[a]
		p.learn(a, versionOf(made))
	}
}

// saw notes the access token of a record.
func (m *model) saw(r *tokenstore.Record) {
	if r == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := r.Token(""); ok && m.issued[at.Token.Reveal()] == nil {
		m.issued[at.Token.Reveal()] = &accessToken{version: versionOf(r), seen: time.Now()}
	}
}

// loseExclusion notes that p could not store what it has, and another may come first: p may
// take over that, and know of its own no more.
func (m *model) loseExclusion(p *process, made *tokenstore.Record) {
	if a := m.account(made.Account); a.last != nil && a.last.by == p {
		p.unlearn(a, a.last.knew)
	}
	if at, ok := made.Token(""); ok {
		m.issued[at.Token.Reveal()].settled = true
	}
	m.trace("  %s loses the exclusion", p)
	m.count["exclusion lost"]++
	for _, s := range p.last {
		s.conflict = true
	}
}

func (m *model) account(name string) *user {
	for _, a := range m.accounts {
		if a.name == name {
			return a
		}
	}
	m.violated("a record is that of account %q", name)
	return m.accounts[0]
}

func (m *model) accountOf(key string) *user {
	for _, a := range m.accounts {
		if a.key == key {
			return a
		}
	}
	return nil
}

// latest returns the newest login.
func (a *user) latest() *family { return a.logins[len(a.logins)-1] }

// lives reports whether the server takes the refresh token of r, as far as is known.
func (m *model) lives(r *tokenstore.Record) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tokens[r.RefreshToken.Reveal()]
	return t != nil && t.next == nil && t.family.dead == ""
}

// importing reports whether another login than but is under way.
func (m *model) importing(a *user, but *family) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(a.logins, func(f *family) bool { return f != but && f.importing > 0 })
}
