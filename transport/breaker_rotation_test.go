package transport_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A rotator is a server whose access tokens die when they are rotated, which is
// some time before the client hears of the new one; and its API.
type rotator struct {
	asked atomic.Int64
	good  atomic.Pointer[string]
	down  atomic.Bool // for the next refresh

	lifetime time.Duration // 3 s if zero
}

func (r *rotator) refresh(_ context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
	start := time.Now()
	if r.down.Swap(false) {
		return tokenstore.Record{}, errors.New("503")
	}
	name := "at" + string(rune('A'+r.asked.Add(1)))
	r.good.Store(&name)
	time.Sleep(200 * time.Millisecond) // the answer is on its way
	old.SetToken(tokenstore.AccessToken{Target: target, Token: tokenstore.NewSecret(name), Issued: start, Expiry: start.Add(cmp.Or(r.lifetime, 3*time.Second))})
	return old, nil
}

func (r *rotator) RoundTrip(req *http.Request) (*http.Response, error) {
	time.Sleep(10 * time.Millisecond)
	if req.Header.Get("Authorization") != "Bearer "+*r.good.Load() {
		return answerTo(req, 401, http.NoBody), nil
	}
	return answerTo(req, 200, http.NoBody), nil
}

// Where the old access token dies at each rotation, the requests of that moment
// are answered 401. They are sent again, and are no sign of an API that rejects
// every token; nor is it one if a token is revoked now and then, also where the
// refresh that follows fails at first, so that no second try proves the new token.
func TestTransport_breaker_and_tokens_that_die_at_rotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(rotator)
		var opened atomic.Int64
		source := newSource(t, transport.SourceConfig{Refresh: r.refresh, Observer: &transport.Observer{
			Breaker: func(transport.Breaker) { opened.Add(1) },
		}})
		tr := newTransport(t, transport.Config{Source: source, Base: r})
		var wg sync.WaitGroup
		end := time.Now().Add(time.Minute) // 20 lifetimes
		for range 20 {
			wg.Go(func() {
				for time.Now().Before(end) {
					if _, err := tr.RoundTrip(request(t, "GET", "https://api.test/", nil)); err != nil {
						time.Sleep(100 * time.Millisecond)
					}
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		for range 6 {
			time.Sleep(8 * time.Second)
			revoked := "none"
			r.down.Store(true)
			r.good.Store(&revoked)
		}
		wg.Wait()
		if n := opened.Load(); n > 0 {
			t.Errorf("the breaker opened (or closed) %d times", n)
		}
		if n := r.asked.Load(); n > 40 {
			t.Errorf("%d refreshes in 20 lifetimes with 6 revocations", n)
		}
	})
}

// What another process refreshed is no remedy of this one: where the old token dies
// at rotation, this one's is rejected while it is fresh, and that is no sign of an
// API that rejects every token, even if the new one is revoked a moment later.
func TestBreaker_and_refreshes_of_another_process(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, store := &rotator{lifetime: 8 * time.Second}, new(tokenstore.Memory)
		open := func(refreshBefore time.Duration) *transport.Transport {
			return newTransport(t, transport.Config{Base: r, Source: newSource(t, transport.SourceConfig{
				Refresh: r.refresh, Store: store, Key: "session", RefreshBefore: refreshBefore,
				Observer: &transport.Observer{Breaker: func(e transport.Breaker) { t.Errorf("breaker open: %t", e.Open) }},
			})})
		}
		early, late := open(time.Minute), open(time.Millisecond)
		get := func(tr *transport.Transport) {
			t.Helper()
			wantAnswer(t, tr, request(t, "GET", "https://api.test/", nil), 200, "")
		}
		for range 6 {
			get(early)
			get(late)
			time.Sleep(7 * time.Second)
			get(early) // and a refresh behind it
			time.Sleep(250 * time.Millisecond)
			get(late) // 401, and then the token of the other
			revoked := ""
			r.good.Store(&revoked)
			get(late) // 401, and then a new one
		}
		if n := r.asked.Load(); n != 13 {
			t.Errorf("%d refreshes, want 13", n)
		}
	})
}
