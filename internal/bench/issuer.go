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

// An issuer is a token endpoint with refresh tokens that work once, as a library's user
// reaches it: what it calls with, and what it holds.
type issuer struct {
	lifetime time.Duration
	delay    time.Duration // of an answer
	size     int           // of a token
	down     func() bool   // asked at each request; nil is never
	over     chan struct{} // ends all delays when closed; nil ends none

	calls atomic.Int32
	ends  sync.Map // when a token expires, by its text

	mu   sync.Mutex // guards what follows
	live int        // the refresh token that works, by its number
	held int        // the one that the user has
}

var (
	errSpent = errors.New("invalid_grant")
	errDown  = errors.New("connection refused")
)

// token is one token request. The server acts at once; the answer takes its time, and is
// lost for who has left meanwhile.
func (i *issuer) token(ctx context.Context) (text string, expiry time.Time, err error) {
	n := int(i.calls.Add(1))
	if i.down != nil && i.down() {
		return "", time.Time{}, errDown
	}
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
		case <-i.over:
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
	text += strings.Repeat("x", max(0, i.size-len(text)))
	expiry = time.Now().Add(i.lifetime)
	i.ends.Store(text, expiry)
	return text, expiry, nil
}

// expired is what an API says of a token, by the clock that it was issued with.
func (i *issuer) expired(token string) bool {
	ends, ok := i.ends.Load(token)
	return !ok || time.Now().After(ends.(time.Time))
}

// An api answers in memory: 401 to a token that it refuses.
type api struct {
	refuses func(token string) bool // nil refuses none
	delay   time.Duration           // of an answer
}

func (a api) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	status := http.StatusOK
	if a.refuses != nil && a.refuses(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")) {
		status = http.StatusUnauthorized
	}
	if a.delay > 0 {
		time.Sleep(a.delay)
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}
