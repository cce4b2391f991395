package client

import (
	"container/heap"
	"time"
)

// A queue has those that are not worked on, the one that is due first in front.
type queue []*kept

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(s any)        { *q = append(*q, s.(*kept)) }

func (q *queue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return s
}

func (q *queue) add(s *kept) { heap.Push(q, s) }

func (q *queue) next() *kept { return heap.Pop(q).(*kept) }

// remove takes out all that are so.
func (q *queue) remove(so func(*kept) bool) (removed []*kept) {
	stay := (*q)[:0]
	for _, s := range *q {
		if so(s) {
			removed = append(removed, s)
		} else {
			stay = append(stay, s)
		}
	}
	clear((*q)[len(stay):])
	*q = stay
	heap.Init(q)
	return removed
}

// When nothing but failures comes, the server or the store counts as down.
const (
	failuresDown = 8 // without a success between
	firstProbe   = time.Second
	lastProbe    = 10 * time.Second
)

// A health is what the outcomes say of the server and the store together.
type health struct {
	failures int           // since the last success
	pause    time.Duration // between two probes, doubling
	next     time.Time     // when the next one may be
}

func (h *health) down() bool { return h.failures >= failuresDown }

// note takes in an outcome. It reports whether that is the one with which they
// count as down.
func (h *health) note(o outcome, now time.Time) (downNow bool) {
	switch {
	case o == worked:
		*h = health{}
	case o == failed:
		h.failures++
		if h.down() && !now.Before(h.next) {
			h.pause = min(max(2*h.pause, firstProbe), lastProbe)
			h.next = now.Add(h.pause - h.pause/4 + jitter(h.pause/4))
		}
		return h.failures == failuresDown
	}
	return false
}
