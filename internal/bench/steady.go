package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
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

func (l load) title() string { return fmt.Sprintf("%d, %d B", l.headers, l.tokenSize) }

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

const rounds = 40

// A series is what one thing cost in each round. What else runs on the machine is in
// every time, and about the same for all who were measured in one round: so a round says
// how they compare, and the median of all rounds is what is told.
type series []cost

// inTurn measures everything once in each round.
func inTurn(measures []func() cost) []series {
	all := make([]series, len(measures))
	for range rounds {
		for i, measure := range measures {
			all[i] = append(all[i], measure())
		}
	}
	return all
}

// median is that of f over the rounds.
func median(f func(round int) float64) float64 {
	values := make([]float64, rounds)
	for i := range values {
		values[i] = f(i)
	}
	slices.Sort(values)
	return (values[(rounds-1)/2] + values[rounds/2]) / 2
}

// over is the time that s takes more than base.
func (s series) over(base series) time.Duration {
	return time.Duration(median(func(i int) float64 { return float64(s[i].time - base[i].time) }))
}

// ratio is the time of s to that of other, both without that of base.
func (s series) ratio(other, base series) float64 {
	return median(func(i int) float64 {
		return float64(s[i].time-base[i].time) / float64(other[i].time-base[i].time)
	})
}

// allocs and bytes are the least of a round: a collection adds to them.
func (s series) allocs() int64 {
	return slices.MinFunc(s, func(a, b cost) int { return cmp.Compare(a.allocs, b.allocs) }).allocs
}

func (s series) bytes() int64 {
	return slices.MinFunc(s, func(a, b cost) int { return cmp.Compare(a.bytes, b.bytes) }).bytes
}

// costs returns what a request costs with each of the peers under each load, and at last
// under the first one on all processors at once, which says how they share their state.
func costs(peers []peer) (serial [][]series, parallel []series) {
	var measures []func() cost
	add := func(l load, parallel bool) {
		for _, p := range peers {
			measures = append(measures, func() cost {
				return costOf(testing.Benchmark(func(b *testing.B) { p.steady(b, l, parallel) }))
			})
		}
	}
	for _, l := range loads {
		add(l, false)
	}
	add(loads[0], true)
	parts := slices.Collect(slices.Chunk(inTurn(measures), len(peers)))
	return parts[:len(loads)], parts[len(loads)]
}

// steadyTable is what a request costs over the base transport.
func steadyTable(*figures) table {
	t := table{
		title: "Cost of a request over the base transport, in memory",
		head:  []string{"headers, token", "", "allocations", "bytes", "time", "relative to the floor", "on all processors"},
	}
	libraries := everybody()
	serial, shared := costs(libraries)
	for n, l := range loads {
		base, floor := serial[n][0], serial[n][1]
		for i, s := range serial[n][1:] {
			parallel := ""
			if n == 0 {
				parallel = shared[i+1].over(shared[0]).String()
			}
			t.add(l.title(), libraries[i+1].name, s.allocs()-base.allocs(), s.bytes()-base.bytes(), s.over(base),
				fmt.Sprintf("%.2f", s.ratio(floor, base)), parallel)
		}
	}
	return t
}
