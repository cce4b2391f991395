package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

var ctx = context.Background()

// A session is imported once, from the tokens that the program has so far, and
// is then kept fresh.
func Example() {
	srv := clienttest.NewServer() // in a program: the server where it is registered
	defer srv.Close()

	c, err := client.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	alice := c.Session("alice@example.com")

	_, err = alice.Token(ctx)
	fmt.Println("login required:", errors.Is(err, client.ErrLoginRequired))

	if err := alice.Import(ctx, srv.NewToken("alice@example.com")); err != nil {
		log.Fatal(err)
	}
	resp, err := alice.HTTPClient().Get(srv.APIURL("/v1/me"))
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// login required: true
	// 200 OK
}

// A program that uses x/oauth2 moves over in a few lines.
func ExampleFromOAuth2() {
	conf := &oauth2.Config{
		ClientID:     "my-app",
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		Endpoint:     oauth2.Endpoint{TokenURL: "https://auth.example.com/token"},
		Scopes:       []string{"read"},
	}

	cfg := client.FromOAuth2(conf)
	cfg.Store = tokenstore.Dir("/var/lib/my-app/tokens")
	cfg.Origins = []string{"https://api.example.com"}
	c, err := client.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	hc := c.Session("alice@example.com").HTTPClient() // instead of conf.Client(ctx, tok)
	_ = hc
	// Output:
}

// The app's own http.Client keeps its Timeout, its Jar, its Transport.
func ExampleSession_Wrap() {
	srv := clienttest.NewServer()
	defer srv.Close()
	c, err := client.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	alice := c.Session("alice")
	if err := srv.SignIn(ctx, alice); err != nil {
		log.Fatal(err)
	}

	app := srv.HTTPClient() // what the app has: it may log, trace, retry
	app.Timeout = 10 * time.Second

	hc := alice.Wrap(app)
	resp, err := hc.Get(srv.APIURL("/v1/me"))
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status, hc.Timeout)
	// Output: 200 OK 10s
}

// One http.Client serves many users: the context of a request says which.
func ExampleWithSession() {
	srv := clienttest.NewServer()
	defer srv.Close()
	c, err := client.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	hc := c.Session("").HTTPClient() // nobody's: a request must say whose it is
	for _, user := range []string{"alice", "bob"} {
		if err := srv.SignIn(ctx, c.Session(user)); err != nil {
			log.Fatal(err)
		}
		ctx := client.WithSession(ctx, c.Session(user))
		req, _ := http.NewRequestWithContext(ctx, "GET", srv.APIURL("/v1/me"), nil)
		resp, err := hc.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(user, account(resp))
	}
	_, err = hc.Get(srv.APIURL("/v1/me"))
	fmt.Println(err != nil)
	// Output:
	// alice alice
	// bob bob
	// true
}

// A worker authorizes itself by client credentials.
func ExampleClientCredentials() {
	srv := clienttest.NewServer()
	defer srv.Close()
	cfg := srv.Config()
	cfg.Grant = client.ClientCredentials{}
	c, err := client.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	hc := c.Session("").HTTPClient()
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			resp, err := hc.Post(srv.APIURL("/v1/jobs"), "application/json", nil)
			if err != nil {
				log.Print(err)
				return
			}
			resp.Body.Close()
		})
	}
	workers.Wait()
	fmt.Println("token requests:", srv.Stats().TokenRequests)
	// Output: token requests: 1
}

// A worker that is told to stop, by Ctrl-C or by what runs it, ends without losing
// a token.
func ExampleClient_Close() {
	srv := clienttest.NewServer()
	defer srv.Close()
	c, err := client.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	alice := c.Session("alice")
	if err := srv.SignIn(ctx, alice); err != nil {
		log.Fatal(err)
	}

	running, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	for running.Err() == nil {
		req, err := http.NewRequestWithContext(running, "GET", srv.APIURL("/v1/jobs/next"), nil)
		if err != nil {
			log.Fatal(err)
		}
		resp, err := alice.HTTPClient().Do(req)
		if err != nil {
			log.Print(err)
			break
		}
		resp.Body.Close()
		stop() // in a program: when a signal comes
	}

	// What is under way is finished, and what is not saved is saved: not on
	// running, which is over.
	shutdown, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Close(shutdown); err != nil {
		log.Print(err) // says whose session may need a new login
		return
	}
	fmt.Println("stopped, and everything is saved")
	// Output: stopped, and everything is saved
}

// Libraries that want an oauth2.TokenSource get one. Its tokens have no refresh
// token, so that the library can't spend it.
func ExampleSession_TokenSource() {
	srv := clienttest.NewServer()
	defer srv.Close()
	c, err := client.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	alice := c.Session("alice")
	if err := srv.SignIn(ctx, alice); err != nil {
		log.Fatal(err)
	}

	var ts oauth2.TokenSource = alice.TokenSource() // for option.WithTokenSource, oauth.TokenSource, …
	tok, err := ts.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tok.Valid(), tok.RefreshToken == "")
	// Output: true true
}

// When a request comes back as a 401 that could not be mended, the response says
// why.
func Example_loginRequired() {
	srv := clienttest.NewServer()
	defer srv.Close()
	c, err := client.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	alice := c.Session("alice")
	if err := srv.SignIn(ctx, alice); err != nil {
		log.Fatal(err)
	}
	srv.RevokeSession("alice")

	resp, err := alice.HTTPClient().Get(srv.APIURL("/v1/me"))
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	if why := transport.RefreshErrorOf(resp); errors.Is(why, client.ErrLoginRequired) {
		fmt.Println(resp.StatusCode, "and a login is required")
	}
	_, err = alice.HTTPClient().Get(srv.APIURL("/v1/me")) // from now on nothing is sent
	fmt.Println(errors.Is(err, client.ErrLoginRequired))
	// Output:
	// 401 and a login is required
	// true
}

// The tokens of a session are bound to a key: nothing else in the program changes.
func ExampleDPoP() {
	srv := clienttest.NewServer()
	defer srv.Close()
	srv.SetPolicy(clienttest.Policy{DPoP: true, DPoPNonce: true})

	cfg := srv.Config()
	cfg.DPoP = &client.DPoP{}
	c, err := client.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	alice := c.Session("alice@example.com")
	err = alice.Login(ctx, &client.LoginOptions{
		Open: func(ctx context.Context, url string) error { return srv.Approve(ctx, url, "alice") },
	})
	if err != nil {
		log.Fatal(err)
	}
	resp, err := alice.HTTPClient().Get(srv.APIURL("/v1/me"))
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// 200 OK
}

// An API wants a stronger login than the user had: the next one asks for it (RFC 9470).
func ExampleDemandOf() {
	srv := clienttest.NewServer()
	defer srv.Close()
	srv.FailAPI(1, clienttest.Unauthorized(`Bearer error="insufficient_user_authentication", acr_values="mfa", max_age="300"`))

	c, err := client.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	alice := c.Session("alice@example.com")
	if err := srv.SignIn(ctx, alice); err != nil {
		log.Fatal(err)
	}
	resp, err := alice.HTTPClient().Get(srv.APIURL("/v1/transfer"))
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	demand, ok := client.DemandOf(resp)
	fmt.Println(ok, demand.ACRValues, *demand.MaxAge)
	err = alice.Login(ctx, &client.LoginOptions{
		Demand: &demand,
		Open:   func(ctx context.Context, url string) error { return srv.Approve(ctx, url, "alice") },
	})
	fmt.Println(err)
	// Output:
	// true [mfa] 5m0s
	// <nil>
}
