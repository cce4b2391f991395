package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
)

// workerVar makes this program a process of a fleet: it has its order.
const workerVar = "FRESHET_BENCH_WORKER"

func isWorker() bool { return os.Getenv(workerVar) != "" }

// An order is what a process of a fleet is to do.
type order struct {
	Library            string
	Dir                string // where the session is
	API, Issuer, Token string // URLs
	Length             time.Duration
	Early              time.Duration // how long before its expiry a token is refreshed
	Every              time.Duration // a request is sent
}

// A sender sends one request.
type sender func(url string) error

// work does what the order says, and exits with 1 unless its last request was answered.
func work() {
	var o order
	err := json.Unmarshal([]byte(os.Getenv(workerVar)), &o)
	if err == nil {
		err = o.do()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (o order) do() error {
	began := time.Now()
	send, err := sharing[o.Library].open(o)
	if err != nil {
		return err
	}
	for time.Since(began) < o.Length {
		err = send(o.API)
		time.Sleep(o.Every)
	}
	return err
}

func senderOf(hc *http.Client) sender {
	return func(url string) error {
		resp, err := hc.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}
}

// oauth2Client is what programs do today: they read the token that a login has left, and
// write each that comes after it.
func oauth2Client(o order) (sender, error) {
	tok, err := readToken(o.Dir)
	if err != nil {
		return nil, err
	}
	cfg := oauth2.Config{
		ClientID: clienttest.ClientID, ClientSecret: clienttest.ClientSecret,
		Endpoint: oauth2.Endpoint{TokenURL: o.Token, AuthStyle: oauth2.AuthStyleInHeader},
	}
	source := oauth2.ReuseTokenSourceWithExpiry(tok, cfg.TokenSource(context.Background(), tok), o.Early)
	kept := &keptSource{source: source, dir: o.Dir, last: tok.AccessToken}
	return senderOf(&http.Client{Transport: &oauth2.Transport{Source: kept}}), nil
}

// keptSource writes every new token, for one who asks at a time.
type keptSource struct {
	source oauth2.TokenSource
	dir    string
	last   string
}

func (k *keptSource) Token() (*oauth2.Token, error) {
	tok, err := k.source.Token()
	if err != nil || tok.AccessToken == k.last {
		return tok, err
	}
	k.last = tok.AccessToken
	return tok, writeToken(k.dir, tok)
}

func freshetClient(o order) (sender, error) {
	c, err := client.New(client.Config{
		Issuer: o.Issuer, Endpoint: oauth2.Endpoint{TokenURL: o.Token},
		ClientID: clienttest.ClientID, ClientSecret: clienttest.ClientSecret,
		Store: tokenstore.Dir(o.Dir), RefreshBefore: o.Early,
	})
	if err != nil {
		return nil, err
	}
	return senderOf(c.Session(account).HTTPClient()), nil
}
