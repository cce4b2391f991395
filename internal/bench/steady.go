package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"testing"
	"time"
)

// bounds are what no library can be better than: the base alone, and the least that the
// contract of RoundTripper forces on who adds a header: to copy the request and its map.
var bounds = []peer{
	{"base", false, func(base http.RoundTripper, _ *issuer, _ settings) http.RoundTripper { return base }},
	{"floor", false, func(base http.RoundTripper, tokens *issuer, _ settings) http.RoundTripper {
		text, _, err := tokens.token(context.Background())
		if err != nil {
			panic(err)
		}
		return floor{base, []string{"Bearer " + text}}
	}},
}

type floor struct {
	base   http.RoundTripper
	header []string
}

func (f floor) RoundTrip(req *http.Request) (*http.Response, error) {
	out := &struct {
		http.Request
		header [1]string
	}{Request: *req, header: [1]string(f.header)}
	if len(req.Header) == 8 { // a full map would grow, and be copied once more
		out.Header = make(http.Header, 9)
		maps.Copy(out.Header, req.Header)
	} else {
		out.Header = maps.Clone(req.Header)
	}
	out.Header["Authorization"] = out.header[:]
	return f.base.RoundTrip(&out.Request)
}

// everybody is the bounds and the peers.
func everybody() []peer { return append(bounds[:len(bounds):len(bounds)], peers...) }

// A load is what a steady state is made of.
type load struct {
	headers, tokenSize int
}

// loads are those that are measured; the first is the one of the summary.
var loads = []load{{6, 64}, {8, 64}, {12, 64}, {6, 1024}}

func (l load) String() string { return fmt.Sprintf("headers=%d/token=%d", l.headers, l.tokenSize) }

// steady runs b with a token that is fresh all the time.
func (p peer) steady(b *testing.B, l load, parallel bool) {
	rt := p.over(api{}, &issuer{lifetime: 24 * time.Hour, size: l.tokenSize}, settings{})
	if _, err := rt.RoundTrip(request(b.Context(), l.headers)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	if !parallel {
		req := request(b.Context(), l.headers)
		for b.Loop() {
			rt.RoundTrip(req)
		}
		return
	}
	b.RunParallel(func(pb *testing.PB) {
		req := request(b.Context(), l.headers)
		for pb.Next() {
			rt.RoundTrip(req)
		}
	})
}

// A cost is that of one request.
type cost struct {
	time          time.Duration
	allocs, bytes int64
}

func costOf(r testing.BenchmarkResult) cost {
	return cost{time.Duration(r.NsPerOp()), r.AllocsPerOp(), r.AllocedBytesPerOp()}
}

const rounds = 30

// leastOf measures n things in turn, and again, and returns the least of each: what else
// runs on the machine only adds to it, and meets them all in a round.
func leastOf(n int, measure func(i int) cost) []cost {
	least := make([]cost, n)
	for round := range rounds {
		for i := range least {
			c := measure(i)
			if round > 0 {
				c = cost{min(c.time, least[i].time), min(c.allocs, least[i].allocs), min(c.bytes, least[i].bytes)}
			}
			least[i] = c
		}
	}
	return least
}

// measure returns the cost of a request with each peer, on one processor or on all.
func measure(peers []peer, l load, parallel bool) []cost {
	return leastOf(len(peers), func(i int) cost {
		return costOf(testing.Benchmark(func(b *testing.B) { peers[i].steady(b, l, parallel) }))
	})
}

// steadyTable is what a request costs over the base transport. What it costs on all
// processors at once is measured of the first load: it says how the state is shared.
func steadyTable(*figures) table {
	t := table{
		title: "Cost of a request over the base transport, in memory",
		head:  []string{"headers, token", "", "allocations", "bytes", "time", "relative to the floor", "on all processors"},
	}
	all := everybody()
	shared := measure(all, loads[0], true)
	for _, l := range loads {
		costs := measure(all, l, false)
		base, floor := costs[0], costs[1].time-costs[0].time
		for i, c := range costs[1:] {
			over, parallel := c.time-base.time, ""
			if l == loads[0] {
				parallel = (shared[i+1].time - shared[0].time).String()
			}
			t.add(fmt.Sprintf("%d, %d B", l.headers, l.tokenSize), all[i+1].name, c.allocs-base.allocs, c.bytes-base.bytes, over,
				fmt.Sprintf("%.2f", float64(over)/float64(floor)), parallel)
		}
	}
	return t
}
