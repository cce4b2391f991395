package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A peer is a library that puts access tokens on requests: a RoundTripper over base that
// has its tokens from an issuer, configured as its own documentation has it.
type peer struct {
	name     string
	blocking bool // it has no refresh behind its callers
	over     func(base http.RoundTripper, tokens *issuer, set settings) http.RoundTripper
}

// settings are what libraries let their users choose. Zero is the library's default, and
// one that does not have a setting goes without.
type settings struct {
	early time.Duration // how long before its expiry a token is refreshed
	pause time.Duration // after a refresh behind the callers that failed
}

// peers are compared in this order.
var peers = []peer{
	{"x/oauth2", true, overOAuth2},
	{"smithy-go", false, overSmithy},
	{"Google auth", false, overGoogle},
	{"azcore", false, overAzcore},
	{"Freshet", false, overFreshet},
}

// key is the name as a part of a benchmark's: those of benchstat have no slash.
func (p peer) key() string { return strings.ReplaceAll(p.name, "/", "-") }

// names returns those of the peers, for the head of a table that has a column for each.
func names() []string {
	head := []string{""}
	for _, p := range peers {
		head = append(head, p.name)
	}
	return head
}

// request returns one with that many headers.
func request(ctx context.Context, headers int) *http.Request {
	return requestTo(ctx, "https://api.example.com", headers)
}

func requestTo(ctx context.Context, origin string, headers int) *http.Request {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, origin+"/v1/me?page=1", nil)
	if err != nil {
		panic(err)
	}
	for i := range headers {
		req.Header.Set(fmt.Sprint("X-Header-", i), "value")
	}
	return req
}
