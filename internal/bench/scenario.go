package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A scenario is something that happens to programs, and what became of it for each
// library, in one cell.
type scenario struct {
	title string
	run   func(p peer) string
}

// scenarios are in the order of the table.
var scenarios = []scenario{
	{"10,000 callers, expired token: token requests", stampede},
	{"… stack / heap of a waiting caller", waiting},
	{"token revoked under 1000 requests, half of them POSTs: answered 200 / token requests", revoked},
	{"20 ms deadline during a 500 ms refresh: back after", slowWaiter},
	{"first caller cancelled after the server rotated: 20 others served / session lost", leaderCancelled},
}

func scenarioTable(*figures) table {
	t := table{title: "What happens", head: names()}
	for _, s := range scenarios {
		row := []any{s.title}
		for _, p := range peers {
			row = append(row, s.run(p))
		}
		t.add(row...)
	}
	return t
}

const crowd = 10_000

func stampede(p peer) string {
	tokens := &issuer{lifetime: time.Hour, delay: 100 * time.Millisecond}
	rt := p.over(api{}, tokens, settings{})
	var failed atomic.Int32
	all(crowd, func(int) {
		if _, err := rt.RoundTrip(request(context.Background(), 6)); err != nil {
			failed.Add(1)
		}
	})
	if n := failed.Load(); n > 0 {
		return fmt.Sprintf("%d, and %d failed", tokens.calls.Load(), n)
	}
	return fmt.Sprint(tokens.calls.Load())
}

// waiting is the memory of a caller while all wait for one token request.
func waiting(p peer) string {
	stack, heap := waitingMemory(p)
	return fmt.Sprintf("%.1f / %.1f KiB", float64(stack)/1024, float64(heap)/1024)
}

func waitingMemory(p peer) (stack, heap int) {
	tokens := &issuer{lifetime: time.Hour, delay: 2 * time.Second}
	rt := p.over(api{}, tokens, settings{})
	reqs := make([]*http.Request, crowd) // to make one needs more stack than to send it
	for i := range reqs {
		reqs[i] = request(context.Background(), 6)
	}
	beginSmall() // and the descriptors of goroutines, which are never freed, are there
	before := memory()
	beginSmall()
	var wg sync.WaitGroup
	for _, req := range reqs {
		wg.Go(func() { rt.RoundTrip(req) })
	}
	time.Sleep(time.Second)
	now := memory()
	wg.Wait()
	return int(now.StackInuse-before.StackInuse) / crowd, int(now.HeapAlloc-before.HeapAlloc) / crowd
}

// beginSmall has goroutines begin with the smallest stack, whatever was measured before:
// the runtime has them begin with what those needed that it met last.
func beginSmall() {
	var wg sync.WaitGroup
	defer wg.Wait()
	over := make(chan struct{})
	defer close(over)
	for range crowd {
		wg.Go(func() { <-over })
	}
	runtime.GC()
}

// memory is what is in use after a collection.
func memory() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC() // and what waited for a finalizer or lay in a pool
	runtime.ReadMemStats(&m)
	return m
}

func revoked(p peer) string {
	tokens := &issuer{lifetime: time.Hour, delay: 20 * time.Millisecond}
	var dead atomic.Pointer[string]
	refuses := func(token string) bool { d := dead.Load(); return d != nil && token == *d }
	rt := p.over(api{refuses: refuses}, tokens, settings{})
	first := "token-1-"
	if _, err := rt.RoundTrip(request(context.Background(), 6)); err != nil {
		return err.Error()
	}
	dead.Store(&first)
	before := tokens.calls.Load()
	var good atomic.Int32
	all(1000, func(i int) {
		req := request(context.Background(), 6)
		if i%2 == 0 {
			body := strings.Repeat("x", 64<<10)
			post, _ := http.NewRequest(http.MethodPost, req.URL.String(), strings.NewReader(body))
			req = post
		}
		if resp, err := rt.RoundTrip(req); err == nil && resp.StatusCode == http.StatusOK {
			good.Add(1)
		}
	})
	return fmt.Sprintf("%d / %d", good.Load(), tokens.calls.Load()-before)
}

func slowWaiter(p peer) string {
	tokens := &issuer{lifetime: time.Hour, delay: 500 * time.Millisecond}
	rt := p.over(api{}, tokens, settings{})
	go rt.RoundTrip(request(context.Background(), 6))
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	began := time.Now()
	rt.RoundTrip(request(ctx, 6))
	took := time.Since(began).Round(time.Millisecond)
	time.Sleep(600 * time.Millisecond) // the refresh ends before the next library's begins
	return took.String()
}

func leaderCancelled(p peer) string {
	tokens := &issuer{lifetime: time.Hour, delay: 300 * time.Millisecond}
	rt := p.over(api{}, tokens, settings{})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { rt.RoundTrip(request(ctx, 6)) })
	time.Sleep(50 * time.Millisecond)
	var served atomic.Int32
	for range 20 {
		wg.Go(func() {
			if _, err := rt.RoundTrip(request(context.Background(), 6)); err == nil {
				served.Add(1)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	cancel()
	wg.Wait()
	_, err := rt.RoundTrip(request(context.Background(), 6))
	lost := "no"
	if err != nil && (errors.Is(err, errSpent) || strings.Contains(err.Error(), errSpent.Error())) {
		lost = "yes"
	}
	return fmt.Sprintf("%d / %s", served.Load(), lost)
}

// all calls f n times at once.
func all(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}
