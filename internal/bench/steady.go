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
	time, parallel time.Duration // parallel is on all processors
	allocs, bytes  int64
}

// measure returns the cost of each peer, the least of some rounds: what else runs on the
// machine only adds to it, and meets them all in a round.
func measure(peers []peer, l load) []cost {
	least := make([]cost, len(peers))
	for round := range rounds {
		for i, p := range peers {
			serial := testing.Benchmark(func(b *testing.B) { p.steady(b, l, false) })
			parallel := testing.Benchmark(func(b *testing.B) { p.steady(b, l, true) })
			c := cost{time.Duration(serial.NsPerOp()), time.Duration(parallel.NsPerOp()), serial.AllocsPerOp(), serial.AllocedBytesPerOp()}
			if round > 0 {
				c.time, c.parallel = min(c.time, least[i].time), min(c.parallel, least[i].parallel)
			}
			least[i] = c
		}
	}
	return least
}

const rounds = 5

// steadyTable is what a request costs over the base transport.
func steadyTable() table {
	t := table{
		title: "Cost of a request over the base transport, in memory",
		head:  []string{"headers, token", "", "allocations", "bytes", "time", "relative to the floor", "on all processors"},
	}
	for _, l := range loads {
		all := append(bounds[:len(bounds):len(bounds)], peers...)
		costs := measure(all, l)
		base, floor := costs[0], costs[1].time-costs[0].time
		for i, c := range costs[1:] {
			over := c.time - base.time
			t.add(fmt.Sprintf("%d, %d B", l.headers, l.tokenSize), all[i+1].name, c.allocs-base.allocs, c.bytes-base.bytes, over,
				fmt.Sprintf("%.2f", float64(over)/float64(floor)), c.parallel-base.parallel)
		}
	}
	return t
}
