package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A boundary is a stretch of time in which many workers send requests without a pause
// while tokens expire.
type boundary struct {
	workers  int
	length   time.Duration
	lifetime time.Duration // of a token
	delay    time.Duration // of the token endpoint
	answer   time.Duration // of the API
}

// tokenEnds is the one that is measured.
var tokenEnds = boundary{
	workers: 200, length: 6 * time.Second,
	lifetime: 2 * time.Second, delay: 200 * time.Millisecond, answer: 5 * time.Millisecond,
}

// stall is how long a request has waited for a token that has stalled.
const stall = 100 * time.Millisecond

// A sample is a request: when it began, since the beginning of all, what it took, and how
// much of that before it was on its way to the API. The rest is no library's fault.
type sample struct{ at, took, waited time.Duration }

// A door notes when a request leaves the library, in what its context has for that.
type door struct{ base http.RoundTripper }

type leftKey struct{}

func (d door) RoundTrip(req *http.Request) (*http.Response, error) {
	*req.Context().Value(leftKey{}).(*time.Time) = time.Now()
	return d.base.RoundTrip(req)
}

// leaving returns a context for door, and where it notes the time.
func leaving() (context.Context, *time.Time) {
	left := new(time.Time)
	return context.WithValue(context.Background(), leftKey{}, left), left
}

// A crossing is what became of a library at a boundary.
type crossing struct {
	samples          []sample
	rejected, failed int // requests that ended with a 401, and those without an answer
	refreshes        int
}

func (c crossing) stalled() (n int) {
	for _, s := range c.samples {
		if s.waited > stall {
			n++
		}
	}
	return n
}

func (c crossing) String() string {
	text := fmt.Sprintf("%d / %d / %d / %d", len(c.samples), c.stalled(), c.rejected, c.refreshes)
	if c.failed > 0 {
		text += fmt.Sprintf(", and %d failed", c.failed)
	}
	return text
}

// best is what suits tokens of that lifetime: early enough for a refresh behind the
// callers. Where they wait for it anyway, the later the better.
func (b boundary) best(p peer) settings {
	if p.blocking {
		return settings{early: b.lifetime / 20}
	}
	return settings{early: b.lifetime / 4}
}

// run begins with a fresh token.
func (b boundary) run(p peer, set settings) crossing {
	tokens := &issuer{lifetime: b.lifetime, over: make(chan struct{})}
	rt := p.over(door{api{refuses: tokens.expired, delay: b.answer}}, tokens, set)
	ctx, _ := leaving()
	if _, err := rt.RoundTrip(request(ctx, 6)); err != nil {
		panic(err)
	}
	tokens.delay = b.delay
	before := tokens.calls.Load()
	done := make([]crossing, b.workers)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range done {
		wg.Go(func() { done[i] = b.work(rt, began) })
	}
	time.Sleep(b.length)
	refreshes := tokens.calls.Load() - before
	close(tokens.over) // those who wait for a token would do so one after the other
	wg.Wait()
	return joined(done, int(refreshes))
}

// work is what one worker does.
func (b boundary) work(rt http.RoundTripper, began time.Time) (c crossing) {
	ctx, left := leaving()
	req := request(ctx, 6)
	for at := time.Since(began); at < b.length; at = time.Since(began) {
		resp, err := rt.RoundTrip(req)
		c.samples = append(c.samples, sample{at, time.Since(began) - at, left.Sub(began) - at})
		switch {
		case err != nil:
			c.failed++
		case resp.StatusCode == http.StatusUnauthorized:
			c.rejected++
		}
	}
	return c
}

func joined(parts []crossing, refreshes int) crossing {
	all := crossing{refreshes: refreshes}
	for _, c := range parts {
		all.samples = append(all.samples, c.samples...)
		all.rejected += c.rejected
		all.failed += c.failed
	}
	slices.SortFunc(all.samples, func(a, b sample) int { return int(a.at - b.at) })
	return all
}

// expiryTable has the libraries one after the other, since they need the machine.
func expiryTable(figs *figures) table {
	b := tokenEnds
	title := fmt.Sprintf("Tokens that expire: %d workers for %v, tokens of %v, a refresh of %v", b.workers, b.length, b.lifetime, b.delay)
	t := table{title: title, head: names()}
	tuned := []any{"set for such tokens: requests / waited over 100 ms for a token / answered 401 / token requests"}
	plain := []any{"… with the library's own default"}
	for _, p := range peers {
		c := b.run(p, b.best(p))
		figs.crossings = append(figs.crossings, c)
		tuned = append(tuned, c)
		plain = append(plain, b.run(p, settings{}))
	}
	t.add(tuned...)
	t.add(plain...)
	return t
}
