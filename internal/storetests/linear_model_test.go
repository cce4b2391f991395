//go:build unix

package storetests_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/freshet-go/freshet/tokenstore"
)

// An op is one call of a store.
type op struct {
	Kind  string // load, update or delete
	Key   string
	Value string        // what an update writes; no two write the same
	Hold  time.Duration // how long the function of an update takes
}

// A result is what came of an op.
type result struct {
	Outcome outcome
	Asked   bool   // the function of an update was called
	Old     string // what a load found or that function was given; "" for no record
	Err     string
}

type outcome string

const (
	done    outcome = "done"
	unasked outcome = "unasked" // nothing was read, and nothing changed
	refused outcome = "refused" // the exclusion was lost and nothing changed; an update has read Old before
	unknown outcome = "unknown" // it may have happened, or happen at any later time
	gone    outcome = "gone"    // the process was dead before
)

// opTime bounds the wait for an exclusion.
const opTime = 3 * time.Second

// perform does o.
func perform(store tokenstore.Store, o op) (r result) {
	ctx, cancel := context.WithTimeout(context.Background(), opTime)
	defer cancel()
	var err error
	switch o.Kind {
	case "load":
		var b []byte
		b, err = store.Load(ctx, o.Key)
		r.Old = string(b)
		if errors.Is(err, tokenstore.ErrNotFound) {
			err = nil
		}
	case "update":
		err = store.Update(ctx, o.Key, func(_ context.Context, old []byte) ([]byte, error) {
			r.Asked, r.Old = true, string(old)
			time.Sleep(o.Hold)
			return []byte(o.Value), nil
		})
	case "delete":
		err = store.Delete(ctx, o.Key)
	}
	switch {
	case err == nil:
		r.Outcome = done
	case o.Kind != "delete" && !r.Asked:
		r.Outcome = unasked
	case errors.Is(err, tokenstore.ErrConflict):
		r.Outcome = refused
	default:
		r.Outcome = unknown
	}
	if err != nil {
		r.Err = err.Error()
	}
	return r
}

// register is what a store is under one key: "" where there is no record. All that
// an op does it does at one moment between its beginning and its end. An update
// that worked reads and writes in one moment: nobody else's comes in between.
var register = porcupine.NondeterministicModel{
	Init: func() []any { return []any{""} },
	Step: func(state, input, output any) []any { return step(state.(string), input.(op), output.(result)) },
}

// step returns what may be there after an op.
func step(state string, o op, r result) []any {
	if o.Kind == "delete" {
		r.Asked, r.Old = false, state
	}
	switch {
	case r.Outcome == unknown && r.Asked && state != r.Old: // so it can't have written
		return []any{state}
	case r.Outcome == unknown:
		return []any{state, o.Value}
	case state != r.Old:
		return nil
	case r.Outcome == refused || o.Kind == "load":
		return []any{state}
	}
	return []any{o.Value}
}

// A history is what was done with a store, by any number of goroutines of any
// number of processes. What is written here is the time by one clock, in ticks,
// before an op was ordered and after its result was known.
type history struct {
	clock atomic.Int64

	mu       sync.Mutex // guards what follows
	ops      map[string][]porcupine.Operation
	outcomes map[string]int
}

func newHistory() *history {
	return &history{ops: make(map[string][]porcupine.Operation), outcomes: make(map[string]int)}
}

// do has an op done, and reports whether there was anybody to do it.
func (h *history) do(o op, do func(op) result) bool {
	began := h.clock.Add(1)
	r := do(o)
	ended := h.clock.Add(1)
	switch r.Outcome {
	case gone:
		return false
	case unknown:
		ended = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.outcomes[o.Kind+" "+string(r.Outcome)]++
	if r.Outcome == unasked || o.Kind == "load" && r.Outcome != done || o.Kind == "delete" && r.Outcome == refused {
		return true
	}
	h.ops[o.Key] = append(h.ops[o.Key], porcupine.Operation{ClientId: len(h.ops[o.Key]), Input: o, Call: began, Output: r, Return: ended})
	return true
}

// judge returns whether there is an order of the ops of each key that the model
// allows, and the key of one where there is none.
func (h *history) judge(t *testing.T) (linearizable bool, key string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, ops := range h.ops {
		switch porcupine.CheckOperationsTimeout(register.ToModel(), ops, patience) {
		case porcupine.Illegal:
			return false, key
		case porcupine.Unknown:
			t.Fatalf("%d ops of key %q can't be judged in %s: %v", len(ops), key, patience, h.outcomes)
		}
	}
	return true, ""
}
