package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// How many different things others say: many, and fewer where each takes long.
const (
	inputs   = 100_000
	requests = 20_000
	logins   = 5_000
)

// wantNoGrowth runs f with n inputs, or a few times as many. A half of them after the
// first must leave nothing: the first may fill what has a bound. What is kept of every
// input shows in each of them, if it has 16 bytes and they are many.
func wantNoGrowth(t *testing.T, n int, f func(i int)) {
	t.Helper()
	limit := int64(max(8*n, 160<<10))
	next := 0
	half := func() {
		for range n / 2 {
			f(next)
			next++
		}
	}
	half()
	var grown int64
	for range 6 { // a peak of goroutines stays in the runtime; what is kept of inputs grows each time
		before := heapSize()
		half()
		if grown = int64(heapSize()) - int64(before); grown <= limit {
			return
		}
	}
	t.Errorf("%d inputs left %d bytes, each time", n/2, grown)
}

func heapSize() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first moves what pools keep, the second frees it
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func respond(req *http.Request, status int, header http.Header, body string) *http.Response {
	if req.Body != nil {
		io.Copy(io.Discard, req.Body)
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}
}

func TestRule116_state_that_others_feed_is_bounded(t *testing.T) {
	t.Run("members of answers", func(t *testing.T) {
		const each = 1000
		n := 0
		e := testEndpoint(roundTrip(func(req *http.Request) (*http.Response, error) {
			var b strings.Builder
			b.WriteString(`{"access_token":"at"`)
			for range each {
				n++
				fmt.Fprintf(&b, `,"member %d":%d`, n, n)
			}
			return respond(req, 200, http.Header{"Content-Type": {"application/json"}}, b.String()+"}"), nil
		}), public)
		rec := refreshable("rt")
		for range inputs / each {
			var err error
			if rec, err = e.refresh(t.Context(), rec, ""); err != nil {
				t.Fatal(err)
			}
			sum := 0
			for name, value := range rec.Extra {
				sum += len(name) + len(value.Reveal())
			}
			if sum > maxExtra || n > inputs/2 && sum < maxExtra/2 {
				t.Fatalf("%d bytes of other members are kept after %d", sum, n)
			}
		}
		rec.Session = tokenstore.NewSessionID("")
		if _, err := rec.Encode(); err != nil || n != inputs {
			t.Errorf("%d members, %v", n, err)
		}
	})
	t.Run("one challenge after the other", func(t *testing.T) {
		for _, line := range []string{"Bearer, ", `a="b", `, `Bearer a="b", `} {
			resp := &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Bearer " + strings.Repeat(line, inputs)}}}
			if list := transport.Challenges(resp); len(list) > 32 {
				t.Errorf("%d challenges", len(list))
			}
			resp.Header["Www-Authenticate"] = strings.Split(strings.Repeat("Bearer\n", inputs), "\n")
			if list := transport.Challenges(resp); len(list) > 32 {
				t.Errorf("%d challenges in as many lines", len(list))
			}
		}
	})
	t.Run("rejections by an API", func(t *testing.T) {
		codes := 0
		s := boundedSession(t, func(c *Config) {
			c.Base = roundTrip(func(req *http.Request) (*http.Response, error) {
				codes++
				return respond(req, 401, http.Header{"Www-Authenticate": {fmt.Sprintf(`Bearer error="code %d"`, codes)}}, "x"), nil
			})
		})
		hc := s.HTTPClient()
		wantNoGrowth(t, requests, func(i int) {
			resp, err := hc.Get(fmt.Sprintf("https://api-%d.test/%d", i, i))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		})
		if codes < requests || !s.Status().BreakerOpen {
			t.Errorf("%d requests, breaker open: %t", codes, s.Status().BreakerOpen)
		}
	})
	t.Run("refusals by a server", func(t *testing.T) {
		asked := 0
		e := testEndpoint(roundTrip(func(req *http.Request) (*http.Response, error) {
			asked++
			body := fmt.Sprintf(`{"error":"invalid_grant","error_description":"refused %d"}`, asked)
			return respond(req, 400, http.Header{"Content-Type": {"application/json"}, "Retry-After": {fmt.Sprint(asked)}}, body), nil
		}), public)
		source, err := transport.NewSource(transport.SourceConfig{Refresh: e.refresh})
		if err != nil {
			t.Fatal(err)
		}
		wantNoGrowth(t, logins, func(i int) {
			if err := source.Set(t.Context(), refreshable(fmt.Sprintf("refresh-token-%d", i))); err != nil {
				t.Fatal(err)
			}
			if _, err := source.Token(t.Context(), ""); err == nil {
				t.Fatal("a token came")
			}
		})
		if asked != logins {
			t.Errorf("%d refreshes", asked)
		}
		if err := source.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("keys of a store", func(t *testing.T) {
		store := new(tokenstore.Memory)
		defer runtime.KeepAlive(store)
		wantNoGrowth(t, inputs, func(i int) {
			err := store.Update(t.Context(), fmt.Sprintf("key-%d", i), func(context.Context, []byte) ([]byte, error) {
				return nil, tokenstore.ErrUnchanged
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	})
}

// boundedSession returns a session whose every refresh works.
func boundedSession(t *testing.T, change func(*Config)) *Session {
	n := 0
	cfg := Config{
		Endpoint: oauth2.Endpoint{TokenURL: "https://auth.test/token"},
		ClientID: testID,
		TokenClient: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			n++
			body := fmt.Sprintf(`{"access_token":"at-%d","refresh_token":"rt-%d","expires_in":36000}`, n, n)
			return respond(req, 200, http.Header{"Content-Type": {"application/json"}}, body), nil
		})},
	}
	change(&cfg)
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	s := c.Session("alice")
	if err := s.Import(t.Context(), &oauth2.Token{RefreshToken: "rt"}); err != nil {
		t.Fatal(err)
	}
	return s
}
