package main

import (
	"fmt"
	"testing"
	"time"
)

// A program that a fleet starts is this one.
func TestMain(m *testing.M) {
	if isWorker() {
		work()
		return
	}
	m.Run()
}

// The names are pairs, so that benchstat -col /library sets the libraries side by side.
func BenchmarkSteady(b *testing.B) {
	for _, l := range loads {
		for _, p := range everybody() {
			name := fmt.Sprintf("wire=none/%v/library=%s/procs=", l, p.key())
			b.Run(name+"one", func(b *testing.B) { p.steady(b, l, false) })
			b.Run(name+"all", func(b *testing.B) { p.steady(b, l, true) })
		}
	}
	for _, w := range wires {
		for _, p := range wired() {
			name := fmt.Sprintf("wire=%s/%v/library=%s", w.name, loads[0], p.key())
			b.Run(name, func(b *testing.B) { w.steady(b, p) })
		}
	}
}

// The counts of the fast path are those of the floor, whatever the token is like.
func TestFreshet_is_at_the_floor(t *testing.T) {
	for _, l := range loads {
		allocs := func(p peer) float64 {
			rt := p.over(api{}, &issuer{lifetime: time.Hour, size: l.tokenSize}, settings{})
			req := request(t.Context(), l.headers)
			return testing.AllocsPerRun(1000, func() { rt.RoundTrip(req) })
		}
		base, least, own := allocs(bounds[0]), allocs(bounds[1]), allocs(peers[len(peers)-1])
		if own != least {
			t.Errorf("%v: %v allocations over the base, want %v", l, own-base, least-base)
		}
	}
}

// Every library does the work that it is measured with.
func TestPeers_work(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			tokens := &issuer{lifetime: time.Hour}
			rt := p.over(api{refuses: func(token string) bool { return token != "token-1-" }}, tokens, settings{})
			for range 3 {
				resp, err := rt.RoundTrip(request(t.Context(), 6))
				if err != nil || resp.StatusCode != 200 {
					t.Fatal(resp, err)
				}
			}
			if n := tokens.calls.Load(); n != 1 {
				t.Errorf("%d token requests", n)
			}
		})
	}
}

// A caller that waits has the smallest stack there is.
func TestWaiting(t *testing.T) {
	if stack, heap := waitingMemory(freshet()); stack > 2500 || heap > 500 {
		t.Errorf("%d B of stack and %d B of heap", stack, heap)
	}
}

// What the table says of Freshet is what it has to be.
func TestScenarios(t *testing.T) {
	own := peers[len(peers)-1]
	for i, want := range map[int]string{0: "1", 2: "1000 / 1", 4: "20 / no"} {
		if got := scenarios[i].run(own); got != want {
			t.Errorf("%s: %s, want %s", scenarios[i].title, got, want)
		}
	}
}
