// Command webapp is a web application whose users sign in at an authorization server, and
// which calls an API for them.
//
// Without arguments it runs offline for a moment, with a server and an API on this
// machine and two users side by side. With -listen it waits for your browser:
//
//	go run ./examples/webapp
//	go run ./examples/webapp -listen 127.0.0.1:8080
//
// With flags it does so at any server that publishes its metadata; the redirect URI to
// register is the application's URL and /callback:
//
//	CLIENT_SECRET=… go run ./examples/webapp -listen 127.0.0.1:8080 -issuer https://auth.example.com \
//		-client-id my-app -scopes "openid offline_access" \
//		-userinfo https://auth.example.com/userinfo -api https://api.example.com/v1/me
//
// What a user's browser has is a cookie with a random name. The tokens stay here.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
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
	var set settings
	flag.StringVar(&set.cfg.Issuer, "issuer", "", "the `URL` of the authorization server; without, one on this machine")
	flag.StringVar(&set.cfg.ClientID, "client-id", "", "the `id` that it gave this program")
	scopes := flag.String("scopes", "", "what to ask for, separated by spaces")
	flag.StringVar(&set.userinfo, "userinfo", "", "the `URL` that says whose a token is (OpenID Connect Core §5.3)")
	flag.StringVar(&set.api, "api", "", "the `URL` that the application calls for its users")
	store := flag.String("store", "", "the `directory` of the sessions; without, they are kept in memory")
	listen := flag.String("listen", "", "wait for browsers at this `address`")
	flag.Parse()
	if set.cfg.Issuer == "" {
		srv := clienttest.NewLoopbackServer()
		defer srv.Close()
		set.cfg, set.api, set.userinfo = srv.Config(), srv.APIURL("/v1/me"), srv.APIURL("/userinfo")
		if *listen == "" {
			return demo(ctx, set, srv)
		}
	} else {
		set.cfg.ClientSecret = os.Getenv("CLIENT_SECRET")
		set.cfg.Scopes = strings.Fields(*scopes)
	}
	if *store != "" {
		set.cfg.Store = tokenstore.Dir(*store)
	}
	return set.serve(ctx, *listen, func(at string) {
		fmt.Println("Open", at, "in a browser. With two of them there are two users.")
		<-ctx.Done()
	})
}

// settings are what the application is told by its flags.
type settings struct {
	cfg           client.Config
	api, userinfo string
}

// serve runs the application for as long as use takes.
func (set settings) serve(ctx context.Context, listen string, use func(at string)) (err error) {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	at := "http://" + ln.Addr().String()
	set.cfg.RedirectURL = at + "/callback"
	set.cfg.AccountOf = set.accountOf
	if u, err := url.Parse(set.api); err == nil && set.api != "" {
		set.cfg.Origins = []string{u.Scheme + "://" + u.Host}
	}
	c, err := client.New(set.cfg)
	if err != nil {
		ln.Close()
		return err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	srv := &http.Server{Handler: newApp(c, set.api).handler(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	use(at)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = srv.Shutdown(ending)
	if served := <-done; served != http.ErrServerClosed {
		err = errors.Join(err, served)
	}
	return err
}

// accountOf asks the server whose the tokens of a login are.
func (set settings) accountOf(ctx context.Context, rec tokenstore.Record) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, set.userinfo, nil)
	if err != nil {
		return "", err
	}
	access, _ := rec.Token("")
	req.Header.Set("Authorization", "Bearer "+access.Token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var is struct{ Sub, Account string } // Account is what the server for tests says
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&is) != nil {
		return "", fmt.Errorf("webapp: %s answered %s", set.userinfo, resp.Status)
	}
	return is.Sub + is.Account, nil
}
