package testserver

import (
	"slices"
	"sync"
)

// logSize is how many entries a new log keeps.
const logSize = 8192

// A Log is the record of the requests that came. Its counts go on for ever; of
// the entries it keeps the last 8192, or as many as [Log.Keep] says.
type Log struct {
	mu      sync.Mutex // guards what follows, and the entries
	size    int
	entries []*Entry // a ring once it is full
	oldest  int
	counts  counts
	serving map[Endpoint]int // now
}

type counts struct {
	requests     map[Endpoint]int
	grants       map[string]int
	clientAuths  map[ClientAuth]int
	tokenHosts   map[string]int
	reused       int
	unauthorized int
	badClients   int
}

func newLog() *Log {
	l := &Log{size: logSize, serving: make(map[Endpoint]int)}
	l.Reset()
	return l
}

// Reset forgets all entries and counts. Requests that are being served count
// for what they do after it.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries, l.oldest = nil, 0
	l.counts = counts{
		requests:    make(map[Endpoint]int),
		grants:      make(map[string]int),
		clientAuths: make(map[ClientAuth]int),
		tokenHosts:  make(map[string]int),
	}
}

// Keep makes the log keep the last n entries, and forgets those it has.
func (l *Log) Keep(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size, l.entries, l.oldest = n, nil, 0
}

// Entries returns the requests in the order in which they came, also those that
// are being served.
func (l *Log) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Entry, 0, len(l.entries))
	for i := range l.entries {
		all = append(all, *l.entries[(l.oldest+i)%len(l.entries)])
	}
	return all
}

// Select returns the entries that keep is true of, in order.
func (l *Log) Select(keep func(Entry) bool) []Entry {
	return slices.DeleteFunc(l.Entries(), func(e Entry) bool { return !keep(e) })
}

// TokenRequests returns how many requests came to the token endpoint, whatever
// became of them.
func (l *Log) TokenRequests() int { return l.Requests(Token) }

// APIRequests returns how many requests came to the API, whatever became of
// them.
func (l *Log) APIRequests() int { return l.Requests(API) }

// Requests returns how many requests came to the endpoint.
func (l *Log) Requests(e Endpoint) int { return read(l, func(c *counts) int { return c.requests[e] }) }

// Refreshes returns how many refreshes the server carried out, also those whose
// answer was lost.
func (l *Log) Refreshes() int { return l.Grants(grantRefresh) }

// Grants returns how many requests with that grant_type the server carried out.
func (l *Log) Grants(grant string) int {
	return read(l, func(c *counts) int { return c.grants[grant] })
}

// Logins returns how many authorization codes and device codes became sessions.
func (l *Log) Logins() int { return l.Grants(grantCode) + l.Grants(grantDevice) }

// Reused returns how often a refresh token came that had been spent before,
// whether the server took it (see [Policy].Grace) or not.
func (l *Log) Reused() int { return read(l, func(c *counts) int { return c.reused }) }

// Revocations returns how many requests came to the revocation endpoint.
func (l *Log) Revocations() int { return l.Requests(Revoke) }

// Presented returns how many of the entries have that refresh token.
func (l *Log) Presented(refreshToken string) int {
	return len(l.Select(func(e Entry) bool { return e.RefreshToken == refreshToken }))
}

// Unauthorized returns how often the API answered 401, by itself or because it
// was told to.
func (l *Log) Unauthorized() int { return read(l, func(c *counts) int { return c.unauthorized }) }

// ClientAuths returns how many token requests authenticated in that way,
// rejected ones too.
func (l *Log) ClientAuths(a ClientAuth) int {
	return read(l, func(c *counts) int { return c.clientAuths[a] })
}

// ClientsRejected returns how many token requests were refused for their client
// authentication.
func (l *Log) ClientsRejected() int { return read(l, func(c *counts) int { return c.badClients }) }

// TokenSeenBy reports whether a token reached host: one of this server anywhere
// where it could be found (any header, the path, the query, a form), or anything
// that was presented as a token. The host is the one that was dialed, or the
// Host header.
func (l *Log) TokenSeenBy(host string) bool {
	return read(l, func(c *counts) int { return c.tokenHosts[host] }) > 0
}

func read(l *Log, count func(*counts) int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return count(&l.counts)
}

// add keeps e, which must be changed only by [Log.change] from now on.
func (l *Log) add(e *Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serving[e.Endpoint]++
	e.InFlight = l.serving[e.Endpoint]
	l.counts.requests[e.Endpoint]++
	l.counts.sawTokens(e, len(e.Tokens))
	switch {
	case l.size <= 0:
	case len(l.entries) < l.size:
		l.entries = append(l.entries, e)
	default:
		l.entries[l.oldest] = e
		l.oldest = (l.oldest + 1) % l.size
	}
}

// served notes that a request of e's endpoint is not being served any more.
func (l *Log) served(e *Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serving[e.Endpoint]--
}

func (c *counts) sawTokens(e *Entry, n int) {
	if n <= 0 {
		return
	}
	c.tokenHosts[e.Host]++
	if e.HostHeader != e.Host {
		c.tokenHosts[e.HostHeader]++
	}
}

// change changes an entry that was added, and counts what it means.
func (l *Log) change(f func(*counts)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.counts)
}
