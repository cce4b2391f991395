// Command customstore has a Store of its own: one that hosts share, on a key-value
// service. See store.go for the store and store_test.go for its test.
//
//	go run ./examples/customstore
//
// It runs offline. The service, an authorization server and an API are on this
// machine; two clients, each with a store of its own on the service, stand for two
// hosts.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
)

func main() {
	log.SetFlags(0)
	if err := demo(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func demo(ctx context.Context) (err error) {
	kv := httptest.NewServer(new(service))
	defer kv.Close()
	srv := clienttest.NewLoopbackServer()
	defer srv.Close()
	a, err := client.New(host(srv, kv.URL))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close(ctx)) }()
	b, err := client.New(host(srv, kv.URL))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close(ctx)) }()

	fmt.Println("1. Alice signs in at host A. The service keeps her session, for host B too.")
	if err := srv.SignIn(ctx, a.Session("alice")); err != nil {
		return err
	}
	fmt.Printf("   %s\n", call(srv, a, b))

	fmt.Println("\n2. Her access token is revoked, and all call the API at once. Her refresh token")
	fmt.Println("   works once; whoever sends it a second time ends the session.")
	srv.RevokeAccessTokens()
	fmt.Printf("   %s\n   Refreshes: %d. ", call(srv, a, b), srv.Stats().Refreshes)
	fmt.Printf("Refresh tokens sent twice: %d.\n", srv.Stats().Reused)
	return hang(ctx, kv.URL)
}

// host is the configuration of one host.
func host(srv *clienttest.Server, kv string) client.Config {
	cfg := srv.Config()
	cfg.Store = &Store{URL: kv, Prefix: "sessions", Lease: 30 * time.Second, HTTP: http.Client{Timeout: 5 * time.Second}}
	return cfg
}

// call has ten goroutines on each host call the API.
func call(srv *clienttest.Server, hosts ...*client.Client) string {
	var bad atomic.Int32
	var wg sync.WaitGroup
	for _, c := range hosts {
		hc := c.Session("alice").HTTPClient()
		for range 10 {
			wg.Go(func() {
				resp, err := hc.Get(srv.APIURL("/v1/report"))
				if err != nil {
					bad.Add(1)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					bad.Add(1)
				}
			})
		}
	}
	wg.Wait()
	if bad.Load() > 0 {
		return fmt.Sprintf("%d requests failed.", bad.Load())
	}
	return "10 requests from each host: every one was answered 200."
}

// hang shows what becomes of an Update that takes longer than its lease.
func hang(ctx context.Context, kv string) error {
	fmt.Println("\n3. A host hangs in the middle of an Update, for longer than its lease of 0.3 s.")
	a := &Store{URL: kv, Prefix: "hang", Lease: 300 * time.Millisecond}
	b := &Store{URL: kv, Prefix: "hang", Lease: 30 * time.Second}
	late := a.Update(ctx, "k", func(ctx context.Context, _ []byte) ([]byte, error) {
		<-ctx.Done()
		fmt.Println("   Its context ends: it must not send anything any more.")
		err := b.Update(context.WithoutCancel(ctx), "k", func(context.Context, []byte) ([]byte, error) { return []byte("of B"), nil })
		fmt.Println("   Another host takes over, and writes:", err)
		return []byte("of A"), nil
	})
	fmt.Println("   It wakes up, and writes too late:", late)
	record, err := b.Load(ctx, "k")
	fmt.Printf("   What is stored: %s\n", record)
	return err
}
