package transport_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func TestRule052_one_refresh_a_lifetime(t *testing.T) {
	for _, lifetime := range []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, time.Minute, time.Hour} {
		bubble(t, fmt.Sprint("lifetime ", lifetime), func(t *testing.T) {
			srv := &server{lifetime: lifetime, delay: min(lifetime/100, time.Second)}
			shelf, updates := newShelf(), 0
			shelf.breakAt("enter", func() error { updates++; return nil })
			src := newSource(t, shelf.config(srv, nil))
			mustToken(t, src)
			step := lifetime / 200
			for range 4000 {
				within(t, 0, func() { mustToken(t, src) })
				time.Sleep(step)
			}
			window := min(lifetime/4, transport.DefaultRefreshBefore)
			mustClose(t, src)
			if updates != srv.calls() {
				t.Errorf("%d updates of the store for %d refreshes", updates, srv.calls())
			}
			for _, age := range srv.gaps() {
				if age < lifetime-window || age > lifetime-window/2+2*step {
					t.Errorf("refreshed after %s, want %s to %s", age, lifetime-window, lifetime-window/2)
				}
			}
		})
		bubble(t, fmt.Sprint("failing, lifetime ", lifetime), func(t *testing.T) {
			srv := &server{lifetime: lifetime, delay: time.Millisecond}
			srv.fail = func(n int) error {
				if n > 1 {
					return errors.New("503")
				}
				return nil
			}
			src := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
			time.Sleep(300 * time.Millisecond)
			mustToken(t, src)
			end := mustToken(t, src).Expiry()
			for ; time.Now().Before(end); time.Sleep(lifetime / 200) {
				within(t, 0, func() { wantToken(t, src, "at1") })
			}
			mustClose(t, src)
			if n := srv.calls(); n < 2 || n > 14 {
				t.Errorf("%d calls, want a few", n)
			}
		})
	}
}

// stampede calls Token n times at once on each source, and returns what came of
// it, once for each different outcome.
func stampede(t *testing.T, n int, sources ...*transport.Source) map[string]int {
	type result struct {
		tok transport.Token
		err error
	}
	results := make(chan result)
	for _, src := range sources {
		for range n {
			go func() {
				tok, err := src.Token(t.Context(), "")
				results <- result{tok, err}
			}()
		}
	}
	seen := map[string]int{}
	for range n * len(sources) {
		r := <-results
		seen[fmt.Sprint(r.tok.Reveal(), r.err)]++
	}
	return seen
}

func TestRule053_one_request_a_session(t *testing.T) {
	bubble(t, "one source", func(t *testing.T) {
		srv := &server{lifetime: time.Minute, delay: time.Second}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
		mustToken(t, src)
		time.Sleep(2 * time.Minute)
		if got := stampede(t, 1000, src); got["at2<nil>"] != 1000 {
			t.Errorf("got %v", got)
		}
		srv.wantCalls(t, 2)
	})
	bubble(t, "several over one store", func(t *testing.T) {
		srv, store := &server{lifetime: time.Minute, delay: time.Second}, new(tokenstore.Memory)
		var sources []*transport.Source
		for range 10 {
			sources = append(sources, newSource(t, transport.SourceConfig{Refresh: srv.refresh, Store: store, Key: "k"}))
		}
		mustToken(t, sources[0])
		time.Sleep(2 * time.Minute)
		if got := stampede(t, 100, sources...); got["at2<nil>"] != 1000 {
			t.Errorf("got %v", got)
		}
		srv.wantCalls(t, 2)
		srv.wantNoReuse(t)
	})
	bubble(t, "two sessions", func(t *testing.T) {
		store := new(tokenstore.Memory)
		a, b := &server{lifetime: time.Minute, delay: time.Second}, &server{lifetime: time.Minute, delay: time.Second}
		stampede(t, 100, newSource(t, transport.SourceConfig{Refresh: a.refresh, Store: store, Key: "a"}),
			newSource(t, transport.SourceConfig{Refresh: b.refresh, Store: store, Key: "b"}))
		a.wantCalls(t, 1)
		b.wantCalls(t, 1)
	})
}

// slowSteps is a shelf and a server of which every step takes a second: the wait
// for the exclusion, the exchange and the save.
func slowSteps() (*shelf, *server) {
	shelf := newShelf()
	shelf.at = func(step string) error {
		if step == "enter" || step == "save" {
			time.Sleep(time.Second)
		}
		return nil
	}
	return shelf, &server{lifetime: time.Hour, delay: time.Second}
}

func TestRule054_leader_cancelled(t *testing.T) {
	for _, when := range []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond} {
		bubble(t, fmt.Sprint("after ", when), func(t *testing.T) {
			shelf, srv := slowSteps()
			src := newSource(t, shelf.config(srv, nil))
			leader := make(chan struct{})
			go func() {
				defer close(leader)
				ctx, cancel := context.WithTimeout(t.Context(), when)
				defer cancel()
				within(t, when, func() {
					tok, err := src.Token(ctx, "")
					re := wantKind(t, tok, err, transport.Cancelled)
					if !errors.Is(err, context.DeadlineExceeded) || !re.Timeout() {
						t.Errorf("error %v, want a deadline", err)
					}
				})
			}()
			synctest.Wait()
			if got := stampede(t, 20, src); got["at1<nil>"] != 20 {
				t.Errorf("got %v", got)
			}
			<-leader
			srv.wantCalls(t, 1)
			shelf.wantStored(t, "rt1")
		})
	}
}

func TestRule055_everybody_cancelled(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := slowSteps()
		src := newSource(t, shelf.config(srv, nil))
		done := make(chan error)
		for range 20 {
			go func() {
				_, err := src.Token(soon(t, 1500*time.Millisecond), "")
				done <- err
			}()
		}
		for range 20 {
			if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		}
		shelf.wantStored(t, "")
		mustClose(t, src)
		srv.wantCalls(t, 1)
		shelf.wantStored(t, "rt1")
	})
}
