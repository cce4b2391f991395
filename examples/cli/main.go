// Command cli is a command-line tool that signs its user in once, with the browser, and
// stays signed in.
//
// Without arguments it runs offline: it starts an authorization server and an API on this
// machine, and shows one run of the tool after the other, with a user who needs no
// browser. With -browser the server's own pages open in yours:
//
//	go run ./examples/cli
//	go run ./examples/cli -browser
//
// With flags it is the tool, at any server that publishes its metadata:
//
//	go run ./examples/cli -issuer https://auth.example.com -client-id my-cli \
//		-scopes "openid offline_access" -api https://api.example.com/v1/me login
//	go run ./examples/cli … get
//	go run ./examples/cli … logout
//
// The client has to be a public one, with the redirect URI http://127.0.0.1/callback and
// any port (RFC 8252 §7.3). The session is kept in the user's directory for
// configuration; a tool with more care for it keeps it sealed with a key in the keyring
// (package keyring).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/tokenstore"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx); err != nil {
		log.Fatal(err)
	}
}

func start(ctx context.Context) error {
	if len(os.Args) == 1 || len(os.Args) == 2 && os.Args[1] == "-browser" {
		return demo(ctx, len(os.Args) == 2)
	}
	t, params, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	return t.run(ctx, flag.Arg(0), &client.LoginOptions{Params: params})
}

// A tool is what the tool is told by its flags.
type tool struct {
	cfg client.Config
	api string
	out io.Writer
}

// params are further parameters of the login, as they stand in a URL.
func parse(args []string) (t *tool, params url.Values, err error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return nil, nil, err
	}
	t = &tool{out: os.Stdout}
	flag.StringVar(&t.cfg.Issuer, "issuer", "", "the `URL` of the authorization server")
	flag.StringVar(&t.cfg.ClientID, "client-id", "", "the `id` that it gave this program")
	scopes := flag.String("scopes", "", "what to ask for, separated by spaces")
	more := flag.String("params", "", "more parameters of the login, such as prompt=consent")
	flag.StringVar(&t.api, "api", "", "the `URL` that get asks")
	store := flag.String("store", filepath.Join(dir, "freshet-cli"), "the `directory` of the session")
	flag.CommandLine.Parse(args)
	t.cfg.Scopes = strings.Fields(*scopes)
	t.cfg.Store = tokenstore.Dir(*store)
	if api, err := url.Parse(t.api); err == nil && t.api != "" {
		t.cfg.Origins = []string{api.Scheme + "://" + api.Host}
	}
	params, err = url.ParseQuery(*more)
	return t, params, err
}

// user is the account of a tool that has one user.
const user = "me"

// run is one run of the tool: a process of its own, as far as the session goes.
func (t *tool) run(ctx context.Context, command string, opts *client.LoginOptions) (err error) {
	c, err := client.New(t.cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	session := c.Session(user)
	switch command {
	case "login":
		if err := session.Login(ctx, opts); err != nil {
			return err
		}
		fmt.Fprintln(t.out, "You are signed in.")
		return nil
	case "get":
		return t.get(ctx, session)
	case "logout":
		if err := session.Logout(ctx); err != nil {
			return err
		}
		fmt.Fprintln(t.out, "You are signed out.")
		return nil
	}
	return errors.New("cli: say what to do: login, get or logout")
}

// get calls the API and prints the answer.
func (t *tool) get(ctx context.Context, session *client.Session) error {
	resp, err := session.HTTPClient().Get(t.api)
	if errors.Is(err, client.ErrLoginRequired) {
		return errors.New("You are not signed in: run login first.")
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%s\n%s\n", resp.Status, strings.TrimSpace(string(text)))
	return nil
}
