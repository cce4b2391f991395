package transport

import (
	"math"
	"sync/atomic"
	"time"
)

// A glance finds out that a token is fresh still, for nearly every request, by one
// reading of the running clock: half of what it costs to read the wall clock too.
//
// The wall clock decides, because it goes on while a laptop sleeps, but it is looked at
// only once in glanceTime. Whatever becomes of a token so shortly after it was judged
// can become of it as well between the judgement and the wire.
type glance struct {
	until atomic.Int64 // fresh until then, in time since epoch; or one of these
}

const (
	unknown = math.MinInt64 + 1 // the wall clock is to be looked at
	never   = math.MinInt64     // for good
)

const glanceTime = time.Millisecond

// epoch is some time: only a difference of two times is cheap to have.
var epoch = time.Now()

func (g *glance) begin() { g.until.Store(unknown) }

// at reports whether t, whose glance it is, is fresh.
func (g *glance) at(t *issue) bool {
	since, until := int64(time.Since(epoch)), g.until.Load()
	if since < until {
		return true
	}
	return until != never && g.look(t, since, until)
}

func (g *glance) look(t *issue, since, until int64) bool {
	now := time.Now()
	if t.freshness(now) != fresh {
		return false
	}
	left := glanceTime
	if !t.refreshAt.IsZero() {
		left = min(left, t.refreshAt.Sub(now))
	}
	g.until.CompareAndSwap(until, since+int64(left)) // or it was ended meanwhile
	return true
}

// end is called when the token is not fresh any more, whatever the time.
func (g *glance) end() { g.until.Store(never) }
