package transport_test

import (
	"fmt"
	"math"
	"net/http"
	"runtime"
	"testing"

	"github.com/freshet-go/freshet/transport"
)

// What a request costs is what the contract of RoundTripper forces, and no more:
// a copy of the request and a copy of its header map. If a new Go makes these
// larger, the floor moves too, and the figures here may follow it.
func TestTransport_allocates_what_it_must(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	origins := []string{"https://other.test", "https://api.test"}
	for _, c := range []struct {
		headers, token int
		origins        []string
		allocs, bytes  uint64
	}{
		{6, 64, nil, 3, 720},
		{6, 64, origins, 3, 720},
		{6, 1024, nil, 3, 720},
		{0, 64, nil, 3, 720},
		{7, 64, nil, 3, 720},
		{8, 64, nil, 5, 1112},
		{13, 1024, origins, 5, 1112},
	} {
		t.Run(fmt.Sprintf("%d headers, token of %d, %d origins", c.headers, c.token, len(c.origins)), func(t *testing.T) {
			req := request(t, "GET", "https://api.test/path", nil)
			req.Header = manyHeaders(c.headers)
			tr := withLargeToken(t, c.token, c.origins)
			allocs, bytes := cost(t, tr, req)
			if allocs != c.allocs || bytes != c.bytes {
				fa, fb := cost(t, floor{quiet, []string{"Bearer x"}}, req)
				t.Errorf("%d allocations, %d B; want %d, %d B (a plain copy costs %d, %d B)", allocs, bytes, c.allocs, c.bytes, fa, fb)
			}
		})
	}
}

// withLargeToken returns a Transport over quiet, with a token of n bytes at hand.
func withLargeToken(t testing.TB, n int, origins []string) *transport.Transport {
	cfg := transport.SourceConfig{Refresh: constant(large(n, "-token"))}
	s, err := transport.NewSource(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tr := newTransport(t, transport.Config{Base: quiet, Source: s, Origins: origins})
	send(t, tr, request(t, "GET", "https://api.test/", nil))
	return tr
}

// quiet is a Base that costs one allocation.
var quiet = baseFunc(func(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
})

// cost returns what a request costs over quiet.
func cost(t *testing.T, rt http.RoundTripper, req *http.Request) (allocs, bytes uint64) {
	t.Helper()
	allocs, bytes = gross(t, rt, req)
	baseAllocs, baseBytes := gross(t, quiet, req)
	return allocs - baseAllocs, bytes - baseBytes
}

// gross takes the least of several rounds, for others allocate too.
func gross(t *testing.T, rt http.RoundTripper, req *http.Request) (allocs, bytes uint64) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const rounds, n = 5, 2000
	allocs, bytes = math.MaxUint64, math.MaxUint64
	for range rounds {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			if _, err := rt.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		allocs = min(allocs, (after.Mallocs-before.Mallocs)/n)
		bytes = min(bytes, (after.TotalAlloc-before.TotalAlloc)/n)
	}
	return allocs, bytes
}
