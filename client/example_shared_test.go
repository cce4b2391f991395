package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/transport"
)

// Sessions without traffic are kept alive until the program ends. Several hosts may
// do so over one store: it is one refresh a lifetime between them all.
func ExampleClient_KeepAlive() {
	srv := clienttest.NewServer()
	defer srv.Close()
	srv.SetPolicy(clienttest.Policy{AccessLifetime: time.Second})
	c, err := client.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	if err := srv.SignIn(ctx, c.Session("alice")); err != nil {
		log.Fatal(err)
	}

	ctx, stop := context.WithTimeout(ctx, 3*time.Second) // in a program: until it is told to end
	defer stop()
	err = c.KeepAlive(ctx, client.KeepAliveConfig{})

	fmt.Println(err)
	fmt.Println("refreshed:", srv.Stats().Refreshes >= 2)
	// Output:
	// context deadline exceeded
	// refreshed: true
}

// The account is signed out, here and in every process that shares the store,
// whether or not the server could be told.
func ExampleSession_Logout() {
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

	srv.FailRevocation(1, clienttest.Status(http.StatusServiceUnavailable))
	err = alice.Logout(ctx)
	fmt.Println("still valid at the server:", errors.Is(err, client.ErrNotRevoked))

	_, err = alice.Token(ctx)
	fmt.Println("login required:", errors.Is(err, client.ErrLoginRequired))
	fmt.Println(alice.Status().State == transport.StateLoggedOut)
	// Output:
	// still valid at the server: true
	// login required: true
	// true
}
