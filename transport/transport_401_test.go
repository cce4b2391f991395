package transport_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func newTokenAPI() *tokenAPI { return new(tokenAPI) }

func TestRule013_refresh_once_replay_once(t *testing.T) {
	const content = "some content"
	for _, method := range []string{"GET", "HEAD", "POST", "PATCH", "DELETE"} {
		t.Run(method, func(t *testing.T) {
			overBoth(t, newTokenAPI, func(t *testing.T, a *tokenAPI, srv *httptest.Server) {
				tr := a.over(t, srv.Client().Transport)
				wantAnswer(t, tr, request(t, "GET", srv.URL, nil), 200, "GET "+digest(http.NoBody))
				a.revoke()
				want := method + " " + digest(strings.NewReader(content))
				if method == "HEAD" {
					want = ""
				}
				wantAnswer(t, tr, request(t, method, srv.URL, strings.NewReader(content)), 200, want)
				a.wantSeen(t, "token-1", "token-1", "token-2")
				a.wantAsked(t, 2)
			})
		})
	}
}

// A refuser answers 401 to everything, and says how often it has.
type refuser struct {
	mint
	n atomic.Int64
}

func (h *refuser) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := h.n.Add(1)
	w.Header().Set("X-Attempt", fmt.Sprint(n))
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="invalid_token", error_description="attempt %d"`, n))
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprintf(w, "attempt %d", n)
}

func TestRule015_second_401_is_returned(t *testing.T) {
	newRefuser := func() *refuser { return new(refuser) }
	overBoth(t, newRefuser, func(t *testing.T, h *refuser, srv *httptest.Server) {
		wantSecond401(t, h, h.over(t, srv.Client().Transport), srv.URL)
	})
	t.Run("the new token has the same text", func(t *testing.T) {
		h := new(refuser)
		srv := serve(t, h, "HTTP/1")
		refresh := transport.SourceConfig{Refresh: func(_ context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
			h.asked.Add(1)
			return transport.WithOAuth2(old, target, &oauth2.Token{AccessToken: "constant"})
		}}
		wantSecond401(t, h, newTransport(t, transport.Config{Source: newSource(t, refresh)}), srv.URL)
	})
}

func wantSecond401(t *testing.T, h *refuser, tr *transport.Transport, url string) {
	t.Helper()
	resp, err := tr.RoundTrip(request(t, "POST", url, strings.NewReader("content")))
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, resp); resp.StatusCode != 401 || got != "attempt 2" {
		t.Errorf("%d %q, want 401 and the second body", resp.StatusCode, got)
	}
	if got := resp.Header.Get("X-Attempt"); got != "2" {
		t.Errorf("header of attempt %q, want 2", got)
	}
	if c := transport.Challenges(resp); len(c) != 1 || c[0].Param("error_description") != "attempt 2" {
		t.Errorf("challenges %v, want the second", c)
	}
	if n := h.n.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	h.wantAsked(t, 2)
}

func TestRule021_late_401_takes_the_current_token(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, late := new(tokenAPI), make(chan struct{})
		tr := a.over(t, baseFunc(func(req *http.Request) (*http.Response, error) {
			resp, err := a.RoundTrip(req)
			if req.URL.Path == "/late" && resp.StatusCode == 401 {
				<-late
			}
			return resp, err
		}))
		send(t, tr, request(t, "GET", "https://api.test/", nil))
		a.revoke()
		done := make(chan struct{})
		go func() {
			defer close(done)
			wantAnswer(t, tr, request(t, "GET", "https://api.test/late", nil), 200, "GET "+digest(http.NoBody))
		}()
		synctest.Wait() // the late 401 is on its way
		send(t, tr, request(t, "GET", "https://api.test/", nil))
		a.wantAsked(t, 2)
		time.Sleep(time.Second)
		close(late)
		<-done
		a.wantAsked(t, 2)
		a.wantSeen(t, "token-1", "token-1", "token-1", "token-2", "token-2")
	})
}

func TestRule022_rejected_token_is_not_used_again(t *testing.T) {
	// Both processes hold token-1, which is good for an hour by its expiry.
	start := func(t *testing.T) (a *tokenAPI, here, there *transport.Transport, url string) {
		a = new(tokenAPI)
		store := new(tokenstore.Memory)
		srv := serve(t, a, "HTTP/1")
		cfg := transport.SourceConfig{Refresh: a.refresh, Store: store, Key: "shared"}
		here = newTransport(t, transport.Config{Source: newSource(t, cfg)})
		there = here.With(newSource(t, cfg))
		for _, tr := range []*transport.Transport{here, there} {
			send(t, tr, request(t, "GET", srv.URL, nil))
		}
		a.wantAsked(t, 1)
		a.revoke()
		return a, here, there, srv.URL
	}
	ok := "GET " + digest(http.NoBody)
	t.Run("memory and the store hold it", func(t *testing.T) {
		a, here, _, url := start(t)
		wantAnswer(t, here, request(t, "GET", url, nil), 200, ok)
		wantAnswer(t, here, request(t, "GET", url, nil), 200, ok)
		a.wantSeen(t, "token-1", "token-1", "token-1", "token-2", "token-2")
		a.wantAsked(t, 2)
	})
	t.Run("another process has replaced it", func(t *testing.T) {
		a, here, there, url := start(t)
		wantAnswer(t, there, request(t, "GET", url, nil), 200, ok)
		a.wantAsked(t, 2)
		wantAnswer(t, here, request(t, "GET", url, nil), 200, ok)
		a.wantSeen(t, "token-1", "token-1", "token-1", "token-2", "token-1", "token-2")
		a.wantAsked(t, 2)
	})
	t.Run("another process got the same text again", func(t *testing.T) {
		a, here, there, url := start(t)
		a.repeat = 2
		wantAnswer(t, there, request(t, "GET", url, nil), 401, sorry)
		a.wantAsked(t, 2)
		wantAnswer(t, here, request(t, "GET", url, nil), 200, ok)
		a.wantSeen(t, "token-1", "token-1", "token-1", "token-1", "token-1", "token-3")
	})
	t.Run("another process holds it", func(t *testing.T) {
		a, here, there, url := start(t)
		wantAnswer(t, here, request(t, "GET", url, nil), 200, ok)
		a.revoke() // token-2 too, of which the other process knows from the store only
		wantAnswer(t, there, request(t, "GET", url, nil), 401, sorry)
		wantAnswer(t, there, request(t, "GET", url, nil), 200, ok)
		a.wantSeen(t, "token-1", "token-1", "token-1", "token-2", "token-1", "token-2", "token-2", "token-3")
	})
}

// An API that is down between its 401s must not make the breaker forget them.
func TestTransport_outage_does_not_close_the_breaker(t *testing.T) {
	m, n := new(mint), 0
	tr := m.over(t, baseFunc(func(req *http.Request) (*http.Response, error) {
		n++
		return answerTo(req, []int{503, 401}[n%2], http.NoBody), nil
	}))
	for range 100 {
		send(t, tr, request(t, "GET", "https://api.test/", nil))
	}
	m.wantAsked(t, 4) // one to begin with, and one for each rejected until the third strike
}
