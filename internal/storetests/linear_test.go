//go:build unix

package storetests_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/tokenstore"
)

// operate does the ops that the parent orders, each in a goroutine of its own.
func (w *worker) operate() {
	for line := range w.told {
		var q order
		if err := json.Unmarshal([]byte(line), &q); err != nil {
			w.Fatal(err)
		}
		go func() {
			text, _ := json.Marshal(report{q.ID, perform(w.store, q.Op)})
			w.say("%s", text)
		}()
	}
}

type order struct {
	ID int
	Op op
}

type report struct {
	ID     int
	Result result
}

// An operator orders ops from a worker, and knows nothing of those that were under
// way when it died.
type operator struct {
	p *process

	mu      sync.Mutex // guards what follows, and what is told
	last    int
	waiting map[int]chan result
	gone    bool
}

func newOperator(t *testing.T, j job) *operator {
	t.Helper()
	o := &operator{p: start(t, j), waiting: make(map[int]chan result)}
	o.p.hear("started")
	go o.read()
	return o
}

func (o *operator) read() {
	for line := range o.p.lines {
		var a report
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			o.p.t.Errorf("%s says %q", o.p.name, line)
			continue
		}
		o.mu.Lock()
		o.waiting[a.ID] <- a.Result
		delete(o.waiting, a.ID)
		o.mu.Unlock()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone = true
	for _, c := range o.waiting {
		c <- result{Outcome: unknown}
	}
}

func (o *operator) do(what op) result {
	c := make(chan result, 1)
	o.mu.Lock()
	if o.gone {
		o.mu.Unlock()
		return result{Outcome: gone}
	}
	o.last++
	o.waiting[o.last] = c
	text, _ := json.Marshal(order{o.last, what})
	o.p.tell("%s", text)
	o.mu.Unlock()
	return <-c
}

// The times of leases of which many run out.
var shortLeases = leases{Length: 500 * time.Millisecond, Settle: 300 * time.Millisecond}

// TestLinearizable has three processes, of which one is killed and one stopped, and
// this one do what they like with two records. Every result is as if one op had
// come after the other.
func TestLinearizable(t *testing.T) {
	onStores(t, 3, false, func(t *testing.T, name string, s shared) {
		const processes, goroutines = 3, 2
		d := testenv.Time(t)
		j := job{Does: "ops", Store: name, Place: newPlace(t), Leases: shortLeases}
		store := s.open(t, j.Place, j.Leases)
		h := newHistory()
		over := time.Now().Add(d)
		var running sync.WaitGroup
		run := func(slow int, do func(op) result) {
			for i := range goroutines {
				running.Go(func() { h.random(over, i < slow, do) })
			}
		}
		operators := make([]*operator, processes)
		for i := range operators {
			j.Name = fmt.Sprintf("worker-%d", i)
			operators[i] = newOperator(t, j)
			run(i/2, operators[i].do) // one of the last
		}
		run(0, func(o op) result { return perform(store, o) })
		time.Sleep(d / 4)
		stopped := operators[0].p
		if err := stopped.stop(); err != nil {
			t.Fatal(err)
		}
		operators[1].p.cmd.Process.Kill()
		j.Name = "after-1"
		run(0, newOperator(t, j).do)
		time.Sleep(2 * shortLeases.Length)
		if err := stopped.goOn(); err != nil {
			t.Fatal(err)
		}
		running.Wait()
		if ok, key := h.judge(t); !ok {
			t.Errorf("the history of key %q is not linearizable", key)
		}
		t.Logf("%-10s | %v", name, h.outcomes)
	})
}

var values atomic.Int64

func newValue() string { return fmt.Sprintf("v%d", values.Add(1)) }

// random does one op after the other. If slow, the first one takes longer than a
// lease, and some of those that follow.
func (h *history) random(over time.Time, slow bool, do func(op) result) {
	goesOn := !slow || h.do(op{Kind: "update", Key: "k0", Value: newValue(), Hold: 2 * shortLeases.Length}, do)
	for goesOn && time.Now().Before(over) {
		o := op{Kind: "load", Key: fmt.Sprintf("k%d", rand.N(2))}
		switch n := rand.N(20); {
		case n == 0:
			o.Kind = "delete"
		case n < 10:
			o.Kind, o.Value = "update", newValue()
			if slow && n == 1 && rand.N(2) == 0 {
				o.Hold = 2 * shortLeases.Length
			}
		}
		goesOn = h.do(o, do)
		time.Sleep(rand.N(10 * time.Millisecond))
	}
}

// An unfenced is a store over a lease in memory, whose holder writes also when the
// lease has run out.
type unfenced struct {
	tokenstore.Memory
	mu   sync.Mutex // guards ends
	ends time.Time
}

func (s *unfenced) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	for !s.take() {
		time.Sleep(time.Millisecond)
	}
	old, err := s.Load(ctx, key)
	if err != nil {
		old = nil
	}
	b, err := next(ctx, old)
	if err != nil {
		return err
	}
	defer s.free()
	return s.Memory.Update(ctx, key, func(context.Context, []byte) ([]byte, error) { return b, nil })
}

func (s *unfenced) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.ends) {
		return false
	}
	s.ends = time.Now().Add(shortLeases.Length)
	return true
}

func (s *unfenced) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = time.Time{}
}

// A stale store finds what it found last, where that is not long ago.
type stale struct {
	tokenstore.Memory
	mu   sync.Mutex // guards what follows
	last []byte
	at   time.Time
}

func (s *stale) Load(ctx context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) < patience {
		return s.last, nil
	}
	b, err := s.Memory.Load(ctx, key)
	s.last, s.at = b, time.Now()
	return b, err
}

// TestLinearizable_finds shows what the history of a store looks like that breaks its
// promise.
func TestLinearizable_finds(t *testing.T) {
	for name, tt := range map[string]struct {
		store tokenstore.Store
		bad   bool
	}{
		"a holder that writes late": {new(unfenced), true},
		"a cache":                   {new(stale), true},
		"nothing wrong":             {new(tokenstore.Memory), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory()
			do := func(o op) { h.do(o, func(o op) result { return perform(tt.store, o) }) }
			load := op{Kind: "load", Key: "k"}
			do(op{Kind: "update", Key: "k", Value: newValue()})
			do(load)
			var late sync.WaitGroup
			late.Go(func() { do(op{Kind: "update", Key: "k", Value: newValue(), Hold: 2 * shortLeases.Length}) })
			time.Sleep(shortLeases.Length / 2)
			do(op{Kind: "update", Key: "k", Value: newValue()})
			do(load)
			late.Wait()
			do(load)
			if ok, _ := h.judge(t); ok == tt.bad {
				t.Errorf("linearizable: %t: %v", ok, h.ops["k"])
			}
		})
	}
}
