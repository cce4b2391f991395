package client_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func TestSessionIsOneForEachAccount(t *testing.T) {
	_, c := newServer(t, nil)
	alice := c.Session("alice")
	if again := c.Session("alice"); again != alice {
		t.Error("the same account gave two sessions")
	}
	if other := c.Session("Alice"); other == alice {
		t.Error("two accounts gave one session")
	}
}

// Every way to a token of a session without an account is an error that says
// what to do.
func TestEmptyAccount(t *testing.T) {
	srv, c := newServer(t, nil)
	nobody := c.Session("")
	_, tokenErr := nobody.Token(ctx)
	_, refreshErr := nobody.Refresh(ctx, transport.Token{})
	_, sourceErr := nobody.TokenSource().Token()
	_, httpErr := get(t, nobody.HTTPClient(), srv.APIURL("/"))
	for what, err := range map[string]error{
		"Token": tokenErr, "Refresh": refreshErr, "TokenSource": sourceErr, "HTTPClient": httpErr,
		"Import": nobody.Import(ctx, srv.NewToken("x")), "Forget": nobody.Forget(ctx),
	} {
		if err == nil || !strings.Contains(err.Error(), "account") {
			t.Errorf("%s: %v, want an error that names the account", what, err)
		}
	}
	if n := srv.Stats(); n.APIRequests+n.TokenRequests != 0 {
		t.Errorf("requests were sent: %+v", n)
	}
}

func TestImport(t *testing.T) {
	store := new(tokenstore.Memory)
	srv, c := newServer(t, func(cfg *client.Config) { cfg.Store = store })
	seed := srv.NewToken("alice")
	alice := c.Session("alice")

	if err := alice.Import(ctx, seed); err != nil {
		t.Fatal(err)
	}
	srv.RevokeAccessTokens()
	if code, err := get(t, alice.HTTPClient(), srv.APIURL("/")); code != http.StatusOK {
		t.Fatalf("%d, %v", code, err)
	}

	// The program starts again, with the same token in its environment: that
	// refresh token is spent by now.
	cfg := srv.Config()
	cfg.Store = store
	again, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Session("alice").Import(ctx, seed); err != nil {
		t.Fatal(err)
	}
	srv.RevokeAccessTokens()
	if code, err := get(t, again.Session("alice").HTTPClient(), srv.APIURL("/")); code != http.StatusOK {
		t.Errorf("after the same import: %d, %v", code, err)
	}
	if n := srv.Stats().Reused; n != 0 {
		t.Errorf("%d refresh tokens were sent twice", n)
	}

	// Another token begins a session in place of a dead one.
	srv.RevokeSession("alice")
	get(t, alice.HTTPClient(), srv.APIURL("/")) // finds what the other client stored
	get(t, alice.HTTPClient(), srv.APIURL("/"))
	if _, err := alice.Token(ctx); !errors.Is(err, client.ErrLoginRequired) {
		t.Fatalf("revoked: %v", err)
	}
	if err := alice.Import(ctx, srv.NewToken("alice")); err != nil {
		t.Fatal(err)
	}
	if code, err := get(t, alice.HTTPClient(), srv.APIURL("/")); code != http.StatusOK {
		t.Errorf("after another import: %d, %v", code, err)
	}
}

func TestImportRefusesNothing(t *testing.T) {
	_, c := newServer(t, nil)
	alice := c.Session("alice")
	for what, tok := range map[string]*oauth2.Token{
		"nil": nil, "empty": {}, "control characters": {RefreshToken: "a\r\nb"},
	} {
		if err := alice.Import(ctx, tok); err == nil {
			t.Errorf("%s: imported", what)
		}
	}
	_, granted := newServer(t, func(cfg *client.Config) { cfg.Grant = client.ClientCredentials{} })
	if err := granted.Session("").Import(ctx, &oauth2.Token{RefreshToken: "x"}); err == nil {
		t.Error("imported beside a Grant")
	}
}

// A refresh token alone begins a session.
func TestImportOfRefreshTokenAlone(t *testing.T) {
	srv, c := newServer(t, nil)
	alice := c.Session("alice")
	if err := alice.Import(ctx, &oauth2.Token{RefreshToken: srv.NewToken("alice").RefreshToken}); err != nil {
		t.Fatal(err)
	}
	if code, err := get(t, alice.HTTPClient(), srv.APIURL("/")); code != http.StatusOK {
		t.Errorf("%d, %v", code, err)
	}
}

func TestForget(t *testing.T) {
	store := new(tokenstore.Memory)
	srv, c := newServer(t, func(cfg *client.Config) { cfg.Store = store })
	alice := c.Session("alice")
	srv.SignIn(ctx, alice)
	if err := alice.Forget(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Token(ctx); !errors.Is(err, client.ErrLoginRequired) {
		t.Errorf("forgotten: %v", err)
	}
	for key := range tokenstore.Keys(ctx, store) {
		t.Errorf("the store still has %s", key)
	}
}

// What a server tells beside the tokens is kept through refresh and store.
func TestAnswerIsKept(t *testing.T) {
	store := new(tokenstore.Memory)
	srv, c := newServer(t, func(cfg *client.Config) { cfg.Store = store })
	alice := c.Session("alice")
	srv.SignIn(ctx, alice)
	srv.SetPolicy(clienttest.Policy{Members: map[string]string{
		"id_token": `"header.payload.signature"`, "team": `{"id":7}`, "scope": `"read"`,
	}})
	srv.RevokeAccessTokens()
	get(t, alice.HTTPClient(), srv.APIURL("/"))

	cfg := srv.Config()
	cfg.Store = store
	restarted, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client.Client{c, restarted} {
		tok, err := c.Session("alice").Token(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if tok.IDToken() != "header.payload.signature" || tok.Extra("team") != `{"id":7}` || tok.Scope() != "read" || tok.Account() != "alice" {
			t.Errorf("id_token %q, team %s, scope %q, account %q", tok.IDToken(), tok.Extra("team"), tok.Scope(), tok.Account())
		}
	}
}

// The caller's client, and the ones of net/http, stay as they are.
func TestWrapCopies(t *testing.T) {
	srv, c := newServer(t, nil)
	alice := c.Session("alice")
	srv.SignIn(ctx, alice)
	app := srv.HTTPClient()
	app.Timeout = time.Minute
	before := *app
	if hc := alice.Wrap(app); hc.Timeout != time.Minute {
		t.Error("the Timeout is gone")
	} else if code, err := get(t, hc, srv.APIURL("/")); code != http.StatusOK {
		t.Errorf("wrapped: %d, %v", code, err)
	}
	if app.Transport != before.Transport || http.DefaultClient.Transport != nil {
		t.Error("the caller's client was changed")
	}
	if code, _ := get(t, app, srv.APIURL("/")); code != http.StatusUnauthorized {
		t.Errorf("the caller's own client: %d, want 401", code)
	}
	for what, hc := range map[string]*http.Client{"nil": alice.Wrap(nil), "zero": alice.Wrap(&http.Client{})} {
		if code, err := get(t, hc, srv.APIURL("/")); code != http.StatusOK {
			t.Errorf("%s: %d, %v", what, code, err)
		}
	}
}

// The session of another Client does not take its tokens along.
func TestWithSessionOfAnotherClient(t *testing.T) {
	srv, c := newServer(t, nil)
	other, otherClient := newServer(t, nil)
	alice := otherClient.Session("alice")
	other.SignIn(ctx, alice)
	req, _ := http.NewRequestWithContext(client.WithSession(ctx, alice), "GET", srv.APIURL("/"), nil)
	if _, err := c.Session("bob").HTTPClient().Do(req); err == nil {
		t.Error("sent")
	}
	if srv.Stats().APIRequests != 0 {
		t.Error("a request arrived")
	}
}

func TestWithSessionNil(t *testing.T) {
	srv, c := newServer(t, nil)
	req, _ := http.NewRequestWithContext(client.WithSession(ctx, nil), "GET", srv.APIURL("/"), nil)
	if _, err := c.Session("alice").HTTPClient().Do(req); err == nil || !strings.Contains(err.Error(), "WithSession") {
		t.Errorf("%v, want an error that names WithSession", err)
	}
}

// In a handler for many users the error of a request tells whose session it is
// about.
func TestErrorNamesAccount(t *testing.T) {
	srv, c := newServer(t, nil)
	_, err := get(t, c.Session("alice").HTTPClient(), srv.APIURL("/"))
	if !errors.Is(err, client.ErrLoginRequired) || !strings.Contains(err.Error(), `"alice"`) {
		t.Errorf("%v, want ErrLoginRequired that names the account", err)
	}
}

// Close counts also where the last refresh failed and the next one is not due.
func TestCloseDuringPause(t *testing.T) {
	srv, c := newServer(t, nil)
	alice := c.Session("alice")
	srv.SignIn(ctx, alice)
	srv.RevokeAccessTokens()
	srv.FailToken(clienttest.Always, clienttest.Status(503))
	get(t, alice.HTTPClient(), srv.APIURL("/"))
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Token(ctx); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

func TestClose(t *testing.T) {
	srv, c := newServer(t, nil)
	alice := c.Session("alice")
	srv.SignIn(ctx, alice)
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]*client.Session{"old": alice, "new": c.Session("bob")} {
		if _, err := s.Token(ctx); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("%s session: %v", what, err)
		}
	}
	if err := c.Close(ctx); err != nil {
		t.Errorf("again: %v", err)
	}
}
