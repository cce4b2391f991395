package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A wire is the protocol between a client and a server of this machine. Both have TLS:
// some of the libraries send a token nowhere else.
type wire struct {
	name  string
	http2 bool
}

var wires = []wire{{"HTTP1", false}, {"HTTP2", true}}

// serve starts a server that answers nothing to everything.
func (w wire) serve() *httptest.Server {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.EnableHTTP2 = w.http2
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	return srv
}

// given is a base whose requests carry a token already, so that the server has the same
// work as with the others.
var given = peer{"base", false, bounds[0].over}

// steady runs b with a token that is fresh all the time.
func (w wire) steady(b *testing.B, p peer) {
	srv := w.serve()
	defer srv.Close()
	tokens := &issuer{lifetime: 24 * time.Hour, size: loads[0].tokenSize}
	rt := p.over(srv.Client().Transport, tokens, settings{})
	req := requestTo(b.Context(), srv.URL, loads[0].headers)
	if p.name == given.name {
		text, _, err := tokens.token(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+text)
	}
	exchange(b, rt, req)
	b.ReportAllocs()
	for b.Loop() {
		exchange(b, rt, req)
	}
}

// exchange leaves the connection ready for the next request.
func exchange(b *testing.B, rt http.RoundTripper, req *http.Request) {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		b.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status)
	}
}

// wired are base, floor and the peers.
func wired() []peer { return append([]peer{given, bounds[1]}, peers...) }

func wireTable(*figures) table {
	t := table{
		title: fmt.Sprintf("Cost of a request over TLS to a server in the same process, %d headers, token of %d B", loads[0].headers, loads[0].tokenSize),
		head:  []string{"", "", "allocations", "bytes", "time", "relative to the base"},
	}
	libraries := wired()
	var measures []func() cost
	for _, w := range wires {
		for _, p := range libraries {
			measures = append(measures, func() cost {
				return costOf(testing.Benchmark(func(b *testing.B) { w.steady(b, p) }))
			})
		}
	}
	var base series
	none := make(series, rounds)
	for i, s := range inTurn(measures) {
		w, p := i/len(libraries), i%len(libraries)
		if p == 0 {
			base = s
		}
		t.add(wires[w].name, libraries[p].name, s.allocs(), s.bytes(), s.over(none), fmt.Sprintf("%.2f", s.ratio(base, none)))
	}
	return t
}
