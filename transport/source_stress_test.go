package transport_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func TestStampede_of_10000(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{lifetime: time.Minute, delay: 500 * time.Millisecond}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
		mustToken(t, src)
		time.Sleep(2 * time.Minute)
		if got := stampede(t, 10_000, src); got["at2<nil>"] != 10_000 {
			t.Errorf("got %v", got)
		}
		srv.wantCalls(t, 2)
	})
}

// The refresh takes no time: what is superfluous would come of a caller that saw
// the old token and asks after the flight has ended.
func TestStampedes_small(t *testing.T) {
	const rounds = 1000
	srv := new(server)
	src := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
	old, n := mustToken(t, src), srv.calls()
	for range rounds {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if tok, err := src.Refresh(t.Context(), old); err != nil || tok.Reveal() == old.Reveal() {
					t.Errorf("Refresh = %v, %v", tok, err)
				}
			})
		}
		wg.Wait()
		srv.wantCalls(t, n+1)
		mustSet(t, src, srv.login()) // or the breaker would open
		old, n = mustToken(t, src), srv.calls()
	}
	srv.wantNoReuse(t)
}

func TestSources_over_one_store(t *testing.T) {
	dir := tokenstore.Dir(t.TempDir())
	for name, store := range map[string]tokenstore.Store{"Memory": new(tokenstore.Memory), "Dir": dir} {
		t.Run(name, func(t *testing.T) {
			srv := &server{lifetime: 20 * time.Millisecond}
			var wg sync.WaitGroup
			for range 4 {
				src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Store: store, Key: "k"})
				for range 4 {
					wg.Go(func() {
						for range 100 {
							if _, err := src.Token(t.Context(), ""); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
			}
			wg.Wait()
			srv.wantNoReuse(t)
		})
	}
}

func TestIdle_source_has_no_goroutine(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{lifetime: time.Hour}
		for range 200 { // not closed
			src, err := transport.NewSource(transport.SourceConfig{Refresh: srv.refresh, NeedsLogin: true})
			if err != nil {
				t.Fatal(err)
			}
			mustSet(t, src, srv.login())
			mustToken(t, src)
		}
		synctest.Wait()
	})
}
