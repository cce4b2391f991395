package transport_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/transport"
)

func TestRule020_one_refresh_for_all_rejected(t *testing.T) {
	const n = 1000
	t.Run("all at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := new(tokenAPI)
			a.before = func(int64) error { time.Sleep(time.Second); return nil }
			tr := a.over(t, baseFunc(func(req *http.Request) (*http.Response, error) {
				time.Sleep(time.Second) // until all are in flight
				return a.RoundTrip(req)
			}))
			send(t, tr, request(t, "GET", "https://api.test/", nil))
			a.revoke()
			inFlight(n, func(int) {
				wantAnswer(t, tr, request(t, "GET", "https://api.test/", nil), 200, "GET "+digest(http.NoBody))
			})
			a.wantAsked(t, 2)
			if want := 1 + 2*n; len(a.seen) != want {
				t.Errorf("%d requests, want %d", len(a.seen), want)
			}
		})
	})
	t.Run("half of them late, half with a body, over a network", func(t *testing.T) {
		g := &gatedAPI{flying: n, all: make(chan struct{}), renewed: make(chan struct{})}
		srv := serve(t, g, "HTTP/1")
		base := srv.Client().Transport.(*http.Transport)
		base.MaxIdleConnsPerHost = n
		tr := g.over(t, base)
		wantAnswer(t, tr, request(t, "GET", srv.URL+"/first", nil), 200, "GET "+digest(http.NoBody))
		g.revoke()
		inFlight(n, func(i int) { g.try(t, tr, srv.URL, i) })
		g.wantAsked(t, 2)
	})
}

// inFlight runs f for 0 to n-1 at once.
func inFlight(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// A gatedAPI lets nobody go before all requests are there, and those to /late
// not before the token has been renewed.
type gatedAPI struct {
	tokenAPI
	flying       int64
	arrived      atomic.Int64
	all, renewed chan struct{}
	once         sync.Once
}

func (g *gatedAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch good := g.good(r); {
	case r.URL.Path == "/first":
	case good:
		g.once.Do(func() { close(g.renewed) })
	default:
		if g.arrived.Add(1) == g.flying {
			close(g.all)
		}
		<-g.all
		if r.URL.Path == "/late" {
			<-g.renewed
		}
	}
	g.tokenAPI.ServeHTTP(w, r)
}

// try sends the i-th request: a GET or a POST of 64 KiB, late or not.
func (g *gatedAPI) try(t *testing.T, tr *transport.Transport, url string, i int) {
	method, content := "GET", []byte(nil)
	if i%2 == 0 {
		method, content = "POST", randomBytes(64<<10, i)
	}
	path := "/early"
	if i/2%2 == 0 {
		path = "/late"
	}
	want := fmt.Sprintf("%s %s", method, digest(bytes.NewReader(content)))
	req := request(t, method, url+path, bytes.NewReader(content))
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Errorf("request %d: %v", i, err)
		return
	}
	if got := readAll(t, resp); resp.StatusCode != 200 || got != want {
		t.Errorf("request %d: %d %q, want 200 %q", i, resp.StatusCode, got, want)
	}
}

func randomBytes(n, seed int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}
