package storetest

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The checker says of every small history what trying all orders says.
func TestFlawIsExact(t *testing.T) {
	const seed, times = 1, 20000
	r := rand.New(rand.NewPCG(seed, 0))
	flawed := 0
	for i := range times {
		h := randomHistory(r)
		first, second, found := h.flaw()
		if possible := hasOrder(h.ops, 0); found == possible {
			t.Fatalf("history %d: flaw = %v (%v, %v), and an order is possible: %v\n%v", i, found, first, second, possible, h.ops)
		}
		if found {
			flawed++
		}
	}
	if flawed < times/10 || flawed > times*9/10 {
		t.Errorf("%d of %d histories are flawed: that is no test", flawed, times)
	}
}

// randomHistory returns up to 6 calls that overlap at random: Updates that wrote
// the versions from 1, or now and then one twice, and Loads.
func randomHistory(r *rand.Rand) *history {
	h := new(history)
	updates, loads := r.IntN(4), r.IntN(4)
	for v := range updates {
		h.ops = append(h.ops, op{name: update, version: v + 1})
	}
	if updates > 1 && r.IntN(8) == 0 {
		h.ops[updates-1].version--
	}
	for range loads {
		h.ops = append(h.ops, op{name: load, version: r.IntN(updates + 1)})
	}
	ticks := r.Perm(2 * len(h.ops))
	for i := range h.ops {
		a, b := ticks[2*i]+1, ticks[2*i+1]+1
		h.ops[i].began, h.ops[i].end = min(a, b), max(a, b)
	}
	h.clock.Store(int64(2 * len(h.ops)))
	return h
}

// hasOrder reports whether the calls can have come one after the other, from a
// record of that version on: each after all those that had ended before it began.
func hasOrder(ops []op, version int) bool {
	if len(ops) == 0 {
		return true
	}
	for i, o := range ops {
		fits := o.name == load && o.version == version || o.name == update && o.version == version+1
		first := !slices.ContainsFunc(ops, func(other op) bool { return other.end < o.began })
		if fits && first && hasOrder(slices.Delete(slices.Clone(ops), i, i+1), o.version) {
			return true
		}
	}
	return false
}
