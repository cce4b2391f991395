package clienttest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/transport"
)

// report is the program under test.
func report(hc *http.Client, url string) error {
	resp, err := hc.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if why := transport.RefreshErrorOf(resp); why != nil {
		return why
	}
	fmt.Println(resp.Status)
	return nil
}

// My program survives a rotation and a revoked token, and knows when the user
// must log in again.
func Example() {
	srv := clienttest.NewServer()
	defer srv.Close()
	c, _ := client.New(srv.Config())
	alice := c.Session("alice")
	srv.SignIn(context.Background(), alice)

	report(alice.HTTPClient(), srv.APIURL("/report"))
	srv.RevokeAccessTokens() // a refresh brings another, and rotates the refresh token
	report(alice.HTTPClient(), srv.APIURL("/report"))
	srv.RevokeSession("alice")
	err := report(alice.HTTPClient(), srv.APIURL("/report"))
	fmt.Println(errors.Is(err, client.ErrLoginRequired), srv.Stats().Reused)
	// Output:
	// 200 OK
	// 200 OK
	// true 0
}

// In a bubble of testing/synctest an hour takes no time.
func ExampleNewServer_synctest() {
	test := func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := clienttest.NewServer()
			defer srv.Close()
			srv.SetPolicy(clienttest.Policy{AccessLifetime: time.Hour})
			c, err := client.New(srv.Config())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(t.Context())
			alice := c.Session("alice")
			if err := srv.SignIn(t.Context(), alice); err != nil {
				t.Fatal(err)
			}

			for range 24 { // a day of work
				time.Sleep(time.Hour)
				if _, err := alice.Token(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if n := srv.Stats().Refreshes; n != 24 {
				t.Errorf("%d refreshes, want one an hour", n)
			}
		})
	}
	_ = test // in a program of your own: func TestWorker(t *testing.T)
	// Output:
}

// A server can be told to fail as real ones do.
func ExampleServer_FailToken() {
	srv := clienttest.NewServer()
	defer srv.Close()
	c, _ := client.New(srv.Config())
	alice := c.Session("alice")
	srv.SignIn(context.Background(), alice)

	srv.RevokeAccessTokens()
	srv.FailToken(1, clienttest.Status(http.StatusServiceUnavailable, "Retry-After", "30"))
	err := report(alice.HTTPClient(), srv.APIURL("/report"))
	var refresh *transport.RefreshError
	if errors.As(err, &refresh) {
		fmt.Println(refresh.Kind, refresh.RetryAfter)
	}
	// Output: transient 30s
}
