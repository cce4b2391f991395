// Command oidc signs its user in and reads who that is from the id_token, which it
// verifies with github.com/coreos/go-oidc (OpenID Connect Core §3.1.3.7): Freshet hands
// the id_token out as it came, and leaves its judgement to a library that does nothing
// else.
//
// It runs offline, with an authorization server on this machine and a user who signs in
// by himself:
//
//	go -C examples/oidc run .
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
)

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stdout)
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) (err error) {
	srv := clienttest.NewLoopbackServer()
	defer srv.Close()
	srv.SetPolicy(clienttest.Policy{IDToken: true})
	cfg := srv.Config()
	cfg.Endpoint = oauth2.Endpoint{} // the server's metadata has it
	cfg.Scopes = []string{"openid", "offline_access"}

	verify, err := verifier(ctx, cfg)
	if err != nil {
		return err
	}
	cfg.AccountOf = func(ctx context.Context, rec tokenstore.Record) (string, error) {
		who, err := verify(ctx, rec.IDToken.Reveal())
		return who.Email, err
	}
	c, err := client.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()

	session, err := c.Login(ctx, &client.LoginOptions{
		Nonce: true,
		Open:  func(ctx context.Context, url string) error { return srv.Approve(ctx, url, "alice") },
	})
	if err != nil {
		return err
	}
	fmt.Println("Signed in, by a verified id_token:", session.Account())

	tok, err := session.Token(ctx)
	if err != nil {
		return err
	}
	head, rest, _ := strings.Cut(tok.IDToken(), ".")
	_, signature, _ := strings.Cut(rest, ".")
	const mallory = "eyJzdWIiOiJtYWxsb3J5In0" // {"sub":"mallory"}
	_, err = verify(ctx, head+"."+mallory+"."+signature)
	fmt.Println("One that was tampered with is refused:", err != nil)
	return nil
}

// An identity is what the program reads of an id_token.
type identity struct {
	Subject string `json:"sub"` // names the user at this issuer, for ever
	Email   string `json:"email"`
}

// verifier returns a function that verifies id_tokens for the client of cfg: who
// signed them, for whom, and until when.
func verifier(ctx context.Context, cfg client.Config) (func(ctx context.Context, idToken string) (identity, error), error) {
	provider, err := oidc.NewProvider(ctx, cfg.Issuer)
	if err != nil {
		return nil, err
	}
	v := provider.Verifier(&oidc.Config{ClientID: cfg.ClientID})
	return func(ctx context.Context, idToken string) (who identity, err error) {
		tok, err := v.Verify(ctx, idToken)
		if err != nil {
			return identity{}, err
		}
		return who, tok.Claims(&who)
	}, nil
}
