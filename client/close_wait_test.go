package client_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
)

// Close waits for a refresh that is under way, and for its caller's impatience
// no longer than its context.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(tokenstore.Memory)
		srv, c := newServer(t, func(cfg *client.Config) { cfg.Store = store })
		alice := signedIn(t, srv, c)
		srv.RevokeAccessTokens()
		srv.SetPolicy(clienttest.Policy{Latency: 10 * time.Second})
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(impatient, "GET", srv.APIURL("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := alice.HTTPClient().Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("impatient caller: %v", err)
		}
		if n := srv.Stats(); n.TokenRequests != 1 || n.Refreshes != 0 {
			t.Fatalf("%+v, want a refresh in flight", n)
		}
		start := time.Now()
		if err := c.Close(t.Context()); err != nil || time.Since(start) != 9*time.Second {
			t.Errorf("Close: %v after %s, want nil when the refresh has ended", err, time.Since(start))
		}
		cfg := srv.Config()
		cfg.Store = store
		again, err := client.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close(t.Context())
		if code, err := get(t, again.Session("alice").HTTPClient(), srv.APIURL("/")); code != http.StatusOK {
			t.Errorf("after Close: %d, %v", code, err)
		}
		if n := srv.Stats(); n.Refreshes != 1 || n.Reused != 0 {
			t.Errorf("%+v", n)
		}
	})
}

// signedIn returns a session of alice.
func signedIn(t *testing.T, srv *clienttest.Server, c *client.Client) *client.Session {
	t.Helper()
	alice := c.Session("alice")
	if err := srv.SignIn(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	return alice
}
