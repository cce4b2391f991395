package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A peer is a library that puts access tokens on requests: a RoundTripper over base that
// has its tokens from an issuer, configured as its own documentation has it.
type peer struct {
	name string
	over func(base http.RoundTripper, tokens *issuer) http.RoundTripper
}

// peers are compared in this order.
var peers = []peer{
	{"x/oauth2", overOAuth2},
	{"smithy-go", overSmithy},
	{"Google auth", overGoogle},
	{"azcore", overAzcore},
	{"Freshet", overFreshet},
}

// An issuer is a token endpoint with refresh tokens that work once, as a library's user
// reaches it: what it calls with, and what it holds.
type issuer struct {
	lifetime time.Duration
	delay    time.Duration // of an answer
	size     int           // of a token

	calls atomic.Int32

	mu   sync.Mutex // guards what follows
	live int        // the refresh token that works, by its number
	held int        // the one that the user has
}

var errSpent = errors.New("invalid_grant")

// token is one token request. The server acts at once; the answer takes its time, and is
// lost for who has left meanwhile.
func (i *issuer) token(ctx context.Context) (text string, expiry time.Time, err error) {
	n := int(i.calls.Add(1))
	i.mu.Lock()
	spent := i.held != i.live
	if !spent {
		i.live++
	}
	brought := i.live
	i.mu.Unlock()
	if i.delay > 0 {
		select {
		case <-time.After(i.delay):
		case <-ctx.Done():
			return "", time.Time{}, ctx.Err()
		}
	}
	if spent {
		return "", time.Time{}, errSpent
	}
	i.mu.Lock()
	i.held = brought
	i.mu.Unlock()
	text = fmt.Sprint("token-", n, "-")
	return text + strings.Repeat("x", max(0, i.size-len(text))), time.Now().Add(i.lifetime), nil
}

// An api answers at once: 401 to a token that it refuses.
type api struct {
	refuses func(token string) bool // nil refuses none
}

func (a api) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	status := http.StatusOK
	if a.refuses != nil && a.refuses(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")) {
		status = http.StatusUnauthorized
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

// request returns one with that many headers.
func request(ctx context.Context, headers int) *http.Request {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/v1/me?page=1", nil)
	if err != nil {
		panic(err)
	}
	for i := range headers {
		req.Header.Set(fmt.Sprint("X-Header-", i), "value")
	}
	return req
}
