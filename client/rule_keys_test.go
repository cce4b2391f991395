package client_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
)

// Clients of several issuers, with several ids and many accounts, share one
// store. The names are chosen so that careless keys would meet.
func TestRule009_no_token_for_another_issuer_client_or_account(t *testing.T) {
	const seeds = "a:b|/ é\x00"
	store := new(tokenstore.Memory)
	name := func() string {
		s := make([]rune, 1+rand.N(3))
		for i := range s {
			s[i] = []rune(seeds)[rand.N(len([]rune(seeds)))]
		}
		return string(s)
	}
	var clients []*client.Client
	for i := range 4 {
		c, err := client.New(client.Config{
			Issuer:   fmt.Sprintf("https://auth.test/%d", i/2),
			Endpoint: oauth2.Endpoint{TokenURL: "https://auth.test/token"},
			ClientID: fmt.Sprintf("app%d", i%2),
			Store:    store,
		})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	want := make(map[*client.Session]string)
	for n := range 500 {
		s := clients[rand.N(len(clients))].Session(name())
		if want[s] != "" {
			continue
		}
		want[s] = fmt.Sprintf("token-%d", n)
		if err := s.Import(ctx, &oauth2.Token{AccessToken: want[s]}); err != nil {
			t.Fatal(err)
		}
	}
	for s, token := range want {
		if tok, err := s.Token(ctx); err != nil || tok.Reveal() != token {
			t.Errorf("session %q: %v, %v", s.Account(), tok, err)
		}
	}
	keys := 0
	for range tokenstore.Keys(ctx, store) {
		keys++
	}
	if keys != len(want) {
		t.Errorf("%d sessions have %d records", len(want), keys)
	}
}

// The connection breaks after the refresh was sent. The same refresh token is
// sent once more, promptly, and not a third time: a server that grants a grace
// period, or has not acted, goes on with the session.
func TestRule063_lost_answer_is_asked_for_once_more(t *testing.T) {
	for _, test := range []struct {
		name    string
		fault   clienttest.Fault
		times   int
		policy  clienttest.Policy
		quirk   bool
		sent    int
		working bool
	}{
		{"answer lost, server with grace", clienttest.LoseAnswer(), 1, clienttest.Policy{Grace: 60e9}, false, 2, true},
		{"request lost", clienttest.Drop(), 1, clienttest.Policy{}, false, 2, true},
		{"lost twice", clienttest.Drop(), 2, clienttest.Policy{}, false, 2, false},
		{"answer lost, server without grace", clienttest.LoseAnswer(), 1, clienttest.Policy{}, false, 2, false},
		{"switched off", clienttest.Drop(), 1, clienttest.Policy{}, true, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv, c := newServer(t, func(cfg *client.Config) { cfg.Quirks.NoLostAnswerRetry = test.quirk })
			srv.SetPolicy(test.policy)
			alice := c.Session("alice")
			srv.SignIn(ctx, alice)
			srv.RevokeAccessTokens()
			srv.FailToken(test.times, test.fault)
			code, err := get(t, alice.HTTPClient(), srv.APIURL("/"))
			if err != nil || (code == http.StatusOK) != test.working {
				t.Errorf("%d, %v", code, err)
			}
			if n := srv.Stats().TokenRequests; n != test.sent {
				t.Errorf("%d token requests, want %d", n, test.sent)
			}
		})
	}
}
