package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// settings are what a worker is told when it starts. The fields are exported so
// that fmt asks those that have secrets how they want to be printed.
type settings struct {
	Client       client.Config // but for its Store, Observer and Logger
	Account      string
	RefreshToken tokenstore.Secret    // imported at the start, if there is one
	Dir          string               // where the session is kept
	SealKeys     []tokenstore.SealKey // if none, it is kept in the clear

	API    string // what a job asks for
	Listen string // where /healthz and /metrics are served
	Every  time.Duration

	Workers    int
	JobTimeout time.Duration
	Retry      time.Duration // until a paused job is tried again
	Grace      time.Duration // for jobs under way, and then for the session, at the end
}

// parse reads the flags and the environment.
func parse(args []string) (settings, error) {
	var set settings
	flags := flag.NewFlagSet("worker", flag.ExitOnError)
	flags.StringVar(&set.Client.Issuer, "issuer", "", "name of the authorization server, an https URL (default: the token URL)")
	flags.StringVar(&set.Client.Endpoint.TokenURL, "token-url", "", "URL of its token endpoint")
	flags.StringVar(&set.Client.ClientID, "client-id", "", "id of this program there; CLIENT_SECRET has its secret")
	flags.StringVar(&set.Account, "account", "worker", "name of the session in the store")
	flags.StringVar(&set.API, "api", "", "URL that a job asks for")
	flags.StringVar(&set.Dir, "store", "", "directory in which the session is kept")
	flags.StringVar(&set.Listen, "listen", "127.0.0.1:9090", "address of /healthz and /metrics")
	flags.DurationVar(&set.Every, "every", time.Second, "time between two jobs")
	flags.IntVar(&set.Workers, "workers", 4, "how many jobs are worked on at once")
	flags.DurationVar(&set.JobTimeout, "job-timeout", 30*time.Second, "how long a job may take")
	flags.DurationVar(&set.Retry, "retry", 5*time.Second, "how long jobs wait for a token, before they are tried again")
	flags.DurationVar(&set.Grace, "grace", 20*time.Second, "how long jobs that are under way may go on after a signal")
	flags.Parse(args)

	set.Client.ClientSecret = os.Getenv("CLIENT_SECRET")
	set.RefreshToken = tokenstore.NewSecret(os.Getenv("REFRESH_TOKEN"))
	api, err := url.Parse(set.API)
	if err != nil || api.Host == "" {
		return set, fmt.Errorf("-api %q: want a URL such as https://api.example.com/v1/jobs", set.API)
	}
	set.Client.Origins = []string{api.Scheme + "://" + api.Host} // the token goes nowhere else
	switch {
	case flags.NArg() > 0:
		return set, fmt.Errorf("%q: there are flags only", flags.Arg(0))
	case set.Workers < 1:
		return set, fmt.Errorf("-workers %d: want at least one", set.Workers)
	case set.Every <= 0:
		return set, fmt.Errorf("-every %s: want some time between two jobs", set.Every)
	case set.Dir == "":
		return set, errors.New("-store: name the directory in which the session is kept")
	}
	set.SealKeys, err = sealKeys(os.Getenv("SEAL_KEYS"))
	return set, err
}

// sealKeys reads "2026-03=key,2025-11=older key".
func sealKeys(text string) (keys []tokenstore.SealKey, err error) {
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		id, key, _ := strings.Cut(part, "=")
		k, err := tokenstore.ParseSealKey(id, key)
		if err != nil {
			return nil, fmt.Errorf("SEAL_KEYS: %w", err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// store returns where the session is kept: by this process and by every other
// with the same directory and keys.
func (set settings) store() (tokenstore.Store, error) {
	dir := tokenstore.Dir(set.Dir)
	if len(set.SealKeys) == 0 {
		return dir, nil
	}
	return tokenstore.NewSealed(dir, set.SealKeys...)
}

// open returns the session, and the client to close at the end.
func (set settings) open(observer *transport.Observer, log *slog.Logger) (*client.Client, *client.Session, error) {
	store, err := set.store()
	if err != nil {
		return nil, nil, err
	}
	cfg := set.Client
	cfg.Store, cfg.Observer, cfg.Logger = store, observer, log
	c, err := client.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	return c, c.Session(set.Account), nil
}

// token is what the session begins with, nil if nothing was given.
func (set settings) token() *oauth2.Token {
	if set.RefreshToken.IsZero() {
		return nil
	}
	return &oauth2.Token{RefreshToken: set.RefreshToken.Reveal()}
}
