// Command quickstart shows what Freshet does, offline and in a few seconds: it
// starts an authorization server and an API on this machine, whose access tokens
// live for three seconds, and keeps a program signed in to them.
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func main() {
	log.SetFlags(0)
	run := demo
	if len(os.Args) == 5 { // the program started once more, by restart below
		run = func() error { return secondProcess(os.Args[1], os.Args[2], os.Args[3], os.Args[4]) }
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func demo() error {
	srv := clienttest.NewLoopbackServer()
	defer srv.Close()
	srv.SetPolicy(clienttest.Policy{AccessLifetime: 3 * time.Second})
	dir, err := os.MkdirTemp("", "freshet-quickstart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Println("An authorization server and an API run on this machine. Access tokens live for")
	fmt.Println("3 seconds; a refresh token works once, and using it twice ends the session.")

	if err := firstProcess(srv, dir); err != nil {
		return err
	}
	if err := restart(srv, dir); err != nil {
		return err
	}
	return revoked(srv, dir)
}

// open returns the session of alice, kept in dir.
func open(cfg client.Config, dir string) (*client.Client, *client.Session, error) {
	cfg.Store = tokenstore.Dir(dir)
	c, err := client.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	return c, c.Session("alice"), nil
}

func firstProcess(srv *clienttest.Server, dir string) (err error) {
	ctx := context.Background()
	c, alice, err := open(srv.Config(), dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()

	step("Alice signs in. Her session is kept in a directory.")
	if err := srv.SignIn(ctx, alice); err != nil {
		return err
	}
	hc, report := alice.HTTPClient(), srv.APIURL("/v1/report")

	step("Four goroutines call the API.")
	fmt.Printf("   %s: the token is attached. Refreshes so far: %d.\n",
		call(hc, report, 0), srv.Stats().Refreshes)

	step("They go on for longer than the token lives.")
	fmt.Printf("   %s. The token was refreshed ahead of its expiry,\n   behind their backs. Refreshes: %d.\n",
		call(hc, report, 3200*time.Millisecond), srv.Stats().Refreshes)

	step("The server revokes the access token early.")
	srv.ResetStats()
	srv.RevokeAccessTokens()
	fmt.Printf("   %s. They were answered 401 first, then sent again\n   with a new token. Refreshes for all four: %d.\n",
		call(hc, report, 0), srv.Stats().Refreshes)
	return nil
}

// restart starts this program again, as a process that knows nothing but the
// directory.
func restart(srv *clienttest.Server, dir string) error {
	step("The program ends, and is started again.")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	again := exec.Command(self, srv.Config().Issuer, srv.TokenURL(), srv.APIURL(""), dir)
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	return again.Run()
}

func secondProcess(issuer, tokenURL, api, dir string) (err error) {
	c, alice, err := open(client.Config{
		Issuer:       issuer,
		Endpoint:     oauth2.Endpoint{TokenURL: tokenURL},
		ClientID:     clienttest.ClientID,
		ClientSecret: clienttest.ClientSecret,
		Origins:      []string{api},
	}, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(context.Background())) }()
	fmt.Printf("   %s. A new process, the same session:\n   nobody had to sign in.\n", call(alice.HTTPClient(), api+"/v1/report", 0))
	return nil
}

func revoked(srv *clienttest.Server, dir string) (err error) {
	ctx := context.Background()
	c, alice, err := open(srv.Config(), dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()

	step("The server revokes the session: access token and refresh token.")
	srv.RevokeSession("alice")
	resp, err := alice.HTTPClient().Get(srv.APIURL("/v1/report"))
	if err == nil { // the 401, and why it could not be mended
		resp.Body.Close()
		err = transport.RefreshErrorOf(resp)
	}
	fmt.Println("   errors.Is(err, client.ErrLoginRequired):", errors.Is(err, client.ErrLoginRequired))

	step("Alice signs in again.")
	if err := srv.SignIn(ctx, alice); err != nil {
		return err
	}
	fmt.Printf("   %s.\n", call(alice.HTTPClient(), srv.APIURL("/v1/report"), 0))
	return nil
}

var steps int

func step(what string) {
	steps++
	fmt.Printf("\n%d. %s\n", steps, what)
}

// call has four goroutines GET url for a while, at least once, and says how that
// went.
func call(hc *http.Client, url string, while time.Duration) string {
	var total, bad atomic.Int64
	var wg sync.WaitGroup
	end := time.Now().Add(while)
	for range 4 {
		wg.Go(func() {
			for first := true; first || time.Now().Before(end); first = false {
				total.Add(1)
				if !ok(hc, url) {
					bad.Add(1)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	if bad.Load() > 0 {
		return fmt.Sprintf("%d of %d requests failed", bad.Load(), total.Load())
	}
	return "Every request was answered 200"
}

func ok(hc *http.Client, url string) bool {
	resp, err := hc.Get(url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
