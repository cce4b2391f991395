package storetests_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/testserver"
)

// Fifty sessions are refreshed at once over one connection to the database: the
// connection is not held while the server is asked.
func TestSessions_over_a_pool_of_one(t *testing.T) {
	for name, d := range databases {
		t.Run(name, func(t *testing.T) {
			d.needs(t)
			const n = 50
			srv := testserver.NewLoopback()
			defer srv.Close()
			srv.UpdatePolicy(func(p *testserver.Policy) { p.TokenLatency = 2 * time.Second })
			store, _ := d.openPool(t, place(t), 1)
			cfg := client.Config{
				Issuer: srv.Issuer(), ClientID: "app", Store: store, TokenClient: srv.Client(),
				Endpoint: oauth2.Endpoint{TokenURL: srv.TokenURL()},
			}
			fill(t, srv, cfg, n)
			c, err := client.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					if _, err := c.Session(fmt.Sprint("account", i)).Token(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			most := 0
			for _, e := range srv.Log().Entries() {
				most = max(most, e.InFlight)
			}
			if got := srv.Log().Refreshes(); got != n || srv.Log().Reused() != 0 || most < 10 {
				t.Errorf("%d refreshes, %d at once, %d tokens sent twice", got, most, srv.Log().Reused())
			}
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
