package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// An outage of the token endpoint begins for each library when it first renews its token,
// which is still good then and beyond the end of the outage.
type outage struct {
	lifetime time.Duration // of the token
	early    time.Duration // how long before its expiry it is renewed
	length   time.Duration
	after    time.Duration // how soon the token shall be renewed, once the server is back
	every    time.Duration // a request is sent
}

// serverDown is the one that is measured. azcore leaves 30 s between two renewals, so the
// outage has to come later than that to meet it. Freshet tries the more often the less is
// left of the token, and with one of an hour 4 times in 5 s.
var serverDown = outage{
	lifetime: 80 * time.Second, early: 20 * time.Second,
	length: 5 * time.Second, after: 5 * time.Second, every: 20 * time.Millisecond,
}

// A survival is what became of a library in an outage. Times count from its beginning.
type survival struct {
	requests, failed int // requests of the program while the server was down
	calls            []time.Duration
	length           time.Duration
}

// during returns how many token requests met the server down.
func (s survival) during() (n int) {
	for _, at := range s.calls {
		if at < s.length {
			n++
		}
	}
	return n
}

// renewed returns how long after the outage the token was renewed, if it was.
func (s survival) renewed() (after time.Duration, ok bool) {
	if n := s.during(); n < len(s.calls) {
		return s.calls[n] - s.length, true
	}
	return 0, false
}

func (s survival) String() string {
	renewed := "no"
	if after, ok := s.renewed(); ok {
		renewed = fmt.Sprintf("yes, after %.1fs", after.Seconds())
	}
	return fmt.Sprintf("%d of %d / %d / %s", s.failed, s.requests, s.during(), renewed)
}

// tuned is what a library has against a server that is down.
func (o outage) tuned(p peer) settings {
	set := o.plain(p)
	set.pause = time.Second
	return set
}

// plain is the window alone: where callers wait for a refresh, the library's own.
func (o outage) plain(p peer) settings {
	if p.blocking {
		return settings{}
	}
	return settings{early: o.early}
}

// A blackout is the outage as the server has it.
type blackout struct {
	length time.Duration

	mu    sync.Mutex // guards what follows
	began time.Time
	calls []time.Duration
}

// down notes a token request. The first is not one that renews.
func (b *blackout) down() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls == nil {
		b.calls = []time.Duration{}
		return false
	}
	if b.began.IsZero() {
		b.began = time.Now()
	}
	at := time.Since(b.began)
	b.calls = append(b.calls, at)
	return at < b.length
}

// since returns for how long the outage has been, if it has begun.
func (b *blackout) since() (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.began), !b.began.IsZero()
}

func (o outage) run(p peer, set settings) survival {
	server := &blackout{length: o.length}
	tokens := &issuer{lifetime: o.lifetime, down: server.down}
	rt := p.over(api{refuses: tokens.expired}, tokens, set)
	s := survival{length: o.length}
	first := time.Now()
	for {
		began, ok := server.since()
		if ok && began > o.length+o.after || time.Since(first) > o.lifetime+o.length {
			break
		}
		resp, err := rt.RoundTrip(request(context.Background(), 6))
		if began, ok = server.since(); ok && began < o.length {
			s.requests++
			if err != nil || resp.StatusCode != http.StatusOK {
				s.failed++
			}
		}
		time.Sleep(o.every)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	s.calls = server.calls
	return s
}

// all runs all peers at once: each sends few requests.
func (o outage) all(set func(peer) settings) []survival {
	done := make([]survival, len(peers))
	all(len(peers), func(i int) { done[i] = o.run(peers[i], set(peers[i])) })
	return done
}

func outageTable(figs *figures) table {
	o := serverDown
	title := fmt.Sprintf("The token endpoint is down for %v, while the token is still good; a request each %v", o.length, o.every)
	t := table{title: title, head: names()}
	var plain []survival
	var wg sync.WaitGroup
	wg.Go(func() { plain = o.all(o.plain) })
	figs.survivals = o.all(o.tuned)
	wg.Wait()
	tuned := []any{"set for it: requests failed / token requests meanwhile / renewed within " + o.after.String() + " of its end"}
	bare := []any{"… with nothing set but when to renew"}
	for i, s := range figs.survivals {
		tuned, bare = append(tuned, s), append(bare, plain[i])
	}
	t.add(tuned...)
	t.add(bare...)
	return t
}
