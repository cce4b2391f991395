package interop_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/transport"
)

// An outcome is what came of a call of the API, in words.
type outcome string

// The outcomes that tests expect.
const (
	ok          outcome = "200"
	twice       outcome = "401" // without a reason: also with a second token
	needsLogin  outcome = "login required"
	loginAfter  outcome = "401, login required"
	paused      outcome = "no token, the server said 503"
	pausedAfter outcome = "401, the server said 503"
)

// outcomeOf tells those outcomes from every other, which is shown as it is.
func outcomeOf(resp *http.Response, err error) outcome {
	prefix := ""
	if err == nil {
		if err = transport.RefreshErrorOf(resp); err == nil {
			return outcome(fmt.Sprint(resp.StatusCode))
		}
		prefix = fmt.Sprintf("%d, ", resp.StatusCode)
	}
	var re *transport.RefreshError
	var se *client.ServerError
	switch {
	case errors.Is(err, client.ErrLoginRequired):
		return outcome(prefix) + needsLogin
	case errors.As(err, &re) && re.Kind == transport.Transient && errors.As(err, &se) && se.Status == 503:
		if prefix == "" {
			return paused
		}
		return pausedAfter
	}
	return outcome(prefix + err.Error())
}

// A tally is how often each outcome came.
type tally map[outcome]int

func (n tally) String() string {
	var parts []string
	for _, o := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%d × %s", n[o], o))
	}
	return strings.Join(parts, "; ")
}

// add adds more to n.
func (n tally) add(more tally) {
	for o, count := range more {
		n[o] += count
	}
}

// wantOnly checks that calls ended in these ways alone.
func wantOnly(t *testing.T, calls tally, want ...outcome) {
	t.Helper()
	for o, n := range calls {
		if !slices.Contains(want, o) {
			t.Errorf("%d calls ended with %q, want only %q", n, o, want)
		}
	}
}

// Callers are goroutines that call the API for a session, one call after the
// other, until the test stops them.
type callers struct {
	w    *world
	stop chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex // guards what follows
	calls []int      // that ended, by goroutine
	since tally      // since the last round
}

// callerRest is how long a goroutine rests between two calls.
const callerRest = 40 * time.Millisecond

// callers begins n goroutines for each session.
func (w *world) callers(n int, sessions ...*client.Session) *callers {
	c := &callers{w: w, stop: make(chan struct{}), calls: make([]int, n*len(sessions)), since: make(tally)}
	for i := range c.calls {
		c.wg.Go(func() { c.run(i, sessions[i%len(sessions)]) })
	}
	w.t.Cleanup(c.end)
	return c
}

func (c *callers) run(i int, s *client.Session) {
	for {
		select {
		case <-c.stop:
			return
		case <-time.After(callerRest):
		}
		o := c.w.call(s)
		c.mu.Lock()
		c.calls[i]++
		c.since[o]++
		c.mu.Unlock()
	}
}

// round waits until each goroutine has begun and ended a call from now on, and
// returns what came of all calls since the last round: what was under way when it
// was asked for is in it, and nothing of it is in the next one.
func (c *callers) round() tally {
	c.w.t.Helper()
	c.mu.Lock()
	from := slices.Clone(c.calls)
	c.mu.Unlock()
	c.w.await("every caller has called", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, n := range c.calls {
			if n < from[i]+2 { // one of them may have begun before
				return false
			}
		}
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	since := c.since
	c.since = make(tally)
	return since
}

// end stops the callers, if it was not done.
func (c *callers) end() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.wg.Wait()
}

// await waits until what is said is so.
func (w *world) await(what string, so func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("after 30 s it is still not so that %s\n%v", what, w.refreshes())
		}
	}
}
