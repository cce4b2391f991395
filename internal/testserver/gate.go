package testserver

import (
	"context"
	"net/http"
	"slices"
	"sync"
)

// A Gate holds requests back until a test lets them go. A client that gives up
// leaves its request behind: the server acts on it when the gate opens, as a
// real one would.
type Gate struct {
	server  *Server
	match   Match
	answers bool

	mu      sync.Mutex      // guards what follows
	open    bool            //
	held    []chan struct{} // one for each request that waits, in order
	arrival chan struct{}   // closed at the next arrival; nil if nobody asks
}

// Hold holds back the requests that match fits, before the server acts on them,
// until [Gate.Release]. Injected actions come after.
func (s *Server) Hold(match Match) *Gate { return s.hold(match, false) }

// HoldAnswers lets the server act on the requests that match fits, and holds
// back its answers. Not for actions whose answer does not end.
func (s *Server) HoldAnswers(match Match) *Gate { return s.hold(match, true) }

func (s *Server) hold(match Match, answers bool) *Gate {
	g := &Gate{server: s, match: match, answers: answers}
	s.gates.mu.Lock()
	defer s.gates.mu.Unlock()
	s.gates.gates = append(s.gates.gates, g)
	return g
}

// Waiting returns how many requests the gate holds.
func (g *Gate) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.held)
}

// Wait waits until the gate holds n requests, or returns ctx's error.
func (g *Gate) Wait(ctx context.Context, n int) error {
	for {
		arrival := g.arrivalAfter(n)
		if arrival == nil {
			return nil
		}
		select {
		case <-arrival:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// arrivalAfter returns a channel that closes at the next arrival, or nil if n
// have arrived.
func (g *Gate) arrivalAfter(n int) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.held) >= n {
		return nil
	}
	if g.arrival == nil {
		g.arrival = make(chan struct{})
	}
	return g.arrival
}

// Step lets n of the requests go that have waited longest. Later ones go on
// being held.
func (g *Gate) Step(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.letGo(n)
}

// Release lets all go, and removes the gate.
func (g *Gate) Release() {
	g.server.gates.remove(g)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	g.letGo(len(g.held))
}

func (g *Gate) letGo(n int) {
	n = min(n, len(g.held))
	for _, c := range g.held[:n] {
		close(c)
	}
	g.held = slices.Clone(g.held[n:])
}

// pass waits at the gate. It breaks the request off if the server closes.
func (g *Gate) pass(x *exchange) {
	turn := g.queue()
	if turn == nil {
		return
	}
	select {
	case <-turn:
	case <-x.server.done:
		panic(http.ErrAbortHandler)
	}
}

func (g *Gate) queue() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		return nil
	}
	turn := make(chan struct{})
	g.held = append(g.held, turn)
	if g.arrival != nil {
		close(g.arrival)
		g.arrival = nil
	}
	return turn
}

type gateTable struct {
	mu    sync.Mutex // guards gates
	gates []*Gate
}

// around returns the gates before and after the request.
func (t *gateTable) around(x *exchange, r *http.Request) (before, after []*Gate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.gates {
		switch {
		case !g.match.fits(x, r):
		case g.answers:
			after = append(after, g)
		default:
			before = append(before, g)
		}
	}
	return before, after
}

func (t *gateTable) remove(g *Gate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gates = slices.DeleteFunc(t.gates, func(o *Gate) bool { return o == g })
}
