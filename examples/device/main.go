// Command device is a program for a machine without a browser: its user signs in with
// another one (RFC 8628).
//
// Without arguments it runs offline, with an authorization server and an API on this
// machine and a user who enters the code by himself. With -page you do that, at the
// server's page, in your browser:
//
//	go run ./examples/device
//	go run ./examples/device -page
//
// With flags it signs in at any server that publishes its metadata:
//
//	go run ./examples/device -issuer https://auth.example.com -client-id my-device \
//		-scopes offline_access -api https://api.example.com/v1/me
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/client/terminal"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var cfg client.Config
	flag.StringVar(&cfg.Issuer, "issuer", "", "the `URL` of the authorization server; without, one on this machine")
	flag.StringVar(&cfg.ClientID, "client-id", "", "the `id` that it gave this program")
	scopes := flag.String("scopes", "", "what to ask for, separated by spaces")
	api := flag.String("api", "", "the `URL` to call")
	page := flag.Bool("page", false, "wait for you to enter the code at the server's page")
	flag.Parse()
	cfg.Scopes = strings.Fields(*scopes)
	run := func() error { return signIn(ctx, cfg, *api, terminal.Prompt(os.Stderr)) }
	if cfg.Issuer == "" {
		run = func() error { return demo(ctx, *page) }
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// signIn signs the user of the device in, and calls the API.
func signIn(ctx context.Context, cfg client.Config, api string, prompt func(context.Context, client.DevicePrompt) error) (err error) {
	if u, err := url.Parse(api); err == nil && api != "" {
		cfg.Origins = []string{u.Scheme + "://" + u.Host}
	}
	c, err := client.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	session := c.Session("device")
	switch err := session.LoginDevice(ctx, prompt); {
	case errors.Is(err, client.ErrAccessDenied):
		return errors.New("You said no on the other device.")
	case errors.Is(err, client.ErrLoginExpired):
		return errors.New("The code has expired: start again.")
	case err != nil:
		return err
	}
	fmt.Println("The device is signed in.")
	resp, err := session.HTTPClient().Get(api)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fmt.Println("The API says:", resp.Status)
	return nil
}

// demo signs in at a server of its own: first with a user who says no, then with one who
// says yes.
func demo(ctx context.Context, page bool) error {
	srv := clienttest.NewLoopbackServer()
	defer srv.Close()
	cfg := srv.Config()
	if page {
		return signIn(ctx, cfg, srv.APIURL("/v1/me"), terminal.Prompt(os.Stderr))
	}
	srv.SetPolicy(clienttest.Policy{PollInterval: time.Second})
	for _, answer := range []func(code string) error{
		srv.DenyDevice,
		func(code string) error { return srv.ApproveDevice(code, "alice") },
	} {
		fmt.Println("$ device")
		err := signIn(ctx, cfg, srv.APIURL("/v1/me"), func(ctx context.Context, p client.DevicePrompt) error {
			fmt.Println("To sign in, open the server's page on another device and enter the code.")
			return answer(p.UserCode)
		})
		if err != nil {
			fmt.Println(err)
		}
		fmt.Println()
	}
	return nil
}
