// Command dpop binds a program's tokens to a key (RFC 9449): one field of the
// configuration, and nothing else in the program changes. It shows the proofs on the
// way, a server that wants a nonce in them, and a thief with the token alone.
//
// It runs offline, with an authorization server and an API on this machine:
//
//	go run ./examples/dpop
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
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
	srv.SetPolicy(clienttest.Policy{DPoP: true, DPoPNonce: true})

	wire := &wire{base: http.DefaultTransport}
	cfg := srv.Config()
	cfg.Base, cfg.TokenClient = wire, &http.Client{Transport: wire} // only to show what is sent
	cfg.DPoP = &client.DPoP{}                                       // this is all
	c, err := client.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	alice := c.Session("alice")

	fmt.Println("1. Alice signs in. The token endpoint wants a nonce, and is asked again with it.")
	err = alice.Login(ctx, &client.LoginOptions{
		Open: func(ctx context.Context, url string) error { return srv.Approve(ctx, url, "alice") },
	})
	if err != nil {
		return err
	}

	fmt.Println("\n2. She calls the API, which has nonces of its own.")
	if err := call(alice.HTTPClient(), srv.APIURL("/v1/me?page=1")); err != nil {
		return err
	}

	fmt.Println("\n3. And again: every proof is another.")
	if err := call(alice.HTTPClient(), srv.APIURL("/v1/me?page=2")); err != nil {
		return err
	}

	fmt.Println("\n4. The token is revoked early. The refresh has the proof of the same key.")
	srv.RevokeAccessTokens()
	if err := call(alice.HTTPClient(), srv.APIURL("/v1/me")); err != nil {
		return err
	}
	return steal(wire.last)
}

// steal shows what a thief can do with a request that he has recorded, token, proof and
// all.
func steal(recorded *http.Request) error {
	fmt.Println("\n5. A thief has recorded the last request.")
	for _, attempt := range []struct {
		what   string
		change func(*http.Request)
	}{
		{"He sends it again", func(*http.Request) {}},
		{"He asks for something else with its proof", func(req *http.Request) { req.URL.Path = "/api/v1/secrets" }},
		{"He takes the token for a bearer token", func(req *http.Request) {
			_, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
			req.Header = http.Header{"Authorization": {"Bearer " + token}}
		}},
	} {
		req := recorded.Clone(context.Background())
		attempt.change(req)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		fmt.Printf("   %s: %s\n", attempt.what, resp.Status)
	}
	return nil
}

func call(hc *http.Client, url string) error {
	resp, err := hc.Get(url)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// A wire shows the proofs that go over it, and keeps the last request.
type wire struct {
	base http.RoundTripper
	last *http.Request
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.last = req
	resp, err := w.base.RoundTrip(req)
	if err == nil && req.Header.Get("DPoP") != "" {
		p := proofIn(req.Header.Get("DPoP"))
		fmt.Printf("   %s %s, proof for %s %s, nonce: %t, token: %t → %d\n",
			req.Method, req.URL.Path, p.Method, pathOf(p.URL), p.Nonce != "", p.Token != "", resp.StatusCode)
	}
	return resp, err
}

// A proof is what a program need not know of it.
type proof struct {
	Method string `json:"htm"`
	URL    string `json:"htu"`
	Token  string `json:"ath"`
	Nonce  string `json:"nonce"`
}

func proofIn(jwt string) (p proof) {
	if parts := strings.Split(jwt, "."); len(parts) == 3 {
		text, _ := base64.RawURLEncoding.DecodeString(parts[1])
		json.Unmarshal(text, &p)
	}
	return p
}

func pathOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return rest[strings.Index(rest, "/"):]
}
