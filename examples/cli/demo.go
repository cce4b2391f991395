package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
)

// demo shows runs of the tool at a server of its own.
func demo(ctx context.Context, browser bool) error {
	srv := clienttest.NewLoopbackServer()
	defer srv.Close()
	dir, err := os.MkdirTemp("", "freshet-cli-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t := &tool{cfg: srv.Config(), api: srv.APIURL("/v1/me"), out: withoutPort{srv.APIURL("")}}
	t.cfg.Endpoint.TokenURL = "" // the issuer is enough
	t.cfg.Store = tokenstore.Dir(dir)
	opts := &client.LoginOptions{}
	if !browser {
		opts.Open = func(ctx context.Context, url string) error { return srv.Approve(ctx, url, "alice") }
	}
	for _, step := range []struct{ command, comment string }{
		{"get", "Nobody has signed in yet."},
		{"login", "The browser shows the server's page, and comes back to this machine."},
		{"get", "A run of its own: nobody signs in again."},
		{"revoked", "The server revokes the access token. The next run does not notice."},
		{"get", ""},
		{"logout", "The tokens are revoked at the server, and gone here."},
		{"get", ""},
	} {
		if step.comment != "" {
			fmt.Println("#", step.comment)
		}
		if step.command == "revoked" {
			srv.RevokeAccessTokens()
			continue
		}
		fmt.Println("$ cli", step.command)
		if err := t.run(ctx, step.command, opts); err != nil {
			fmt.Println(err)
		}
		fmt.Println()
	}
	fmt.Printf("Logins: %d. Refreshes: %d. Tokens revoked by the logout: %d.\n", srv.Stats().Logins, srv.Stats().Refreshes, srv.Stats().Revocations)
	return nil
}

// withoutPort is standard output, with another name for an API whose port is another one
// each time.
type withoutPort struct{ api string }

func (w withoutPort) Write(p []byte) (int, error) {
	_, host, _ := strings.Cut(w.api, "://")
	fmt.Print(strings.ReplaceAll(string(p), host, "api.example.com"))
	return len(p), nil
}
