package transport_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// An API that answers 401 to everything, in the worst way, costs two requests
// for each one, a few refreshes in all and a moment for each, and leaves nothing.
func TestTransport_hostile_API(t *testing.T) {
	const n = 20
	lines := func(count int, text string) []string {
		return strings.Split(strings.Repeat(text+"\n", count)+text, "\n")
	}
	for name, action := range map[string]testserver.Action{
		"an endless body":         testserver.Endless(401),
		"a bomb":                  testserver.Gzip().Then(testserver.Endless(401)),
		"a byte a second":         testserver.Drip(time.Second).Then(testserver.Unauthorized()),
		"no end of a body":        testserver.Hook(stuck),
		"thousands of challenges": testserver.Unauthorized(lines(5000, `Bearer realm="a"`)...),
		"thousands of schemes":    testserver.Unauthorized(strings.Repeat("Scheme a=b, ", 5000)),
		"parameters without end":  testserver.Unauthorized(`Bearer a="` + strings.Repeat(`\"`, 100_000) + `"`),
		"a quote without end":     testserver.Unauthorized(lines(100, `Bearer a="`+strings.Repeat(`,`, 1000))...),
		"closed connections":      testserver.Hook(closing),
		"another scheme each":     testserver.Hook(alternating()),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // fails if a goroutine or a connection is left
				srv := testserver.New()
				defer srv.Close()
				srv.Inject(testserver.OnAPI, testserver.Always, action)
				base := srv.Transport()
				defer base.CloseIdleConnections()
				m := new(mint)
				tr, start := m.over(t, base), time.Now()
				for range n {
					resp, err := tr.RoundTrip(request(t, "GET", srv.APIURL("/"), nil))
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusUnauthorized {
						t.Fatalf("status %d, want 401", resp.StatusCode)
					}
				}
				if took := time.Since(start); took > n*100*time.Millisecond {
					t.Errorf("%d requests took %s", n, took)
				}
				if sent := srv.Log().APIRequests(); sent < n || sent > n+3 {
					t.Errorf("%d requests for %d, want no more than 3 again", sent, n)
				}
				if asked := m.asked.Load(); asked > 4 {
					t.Errorf("%d tokens for %d requests, want 4 at the most", asked, n)
				}
			})
		})
	}
}

// stuck sends the beginning of a 401 and no more.
func stuck(w http.ResponseWriter, r *http.Request) bool {
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprint(w, "wait")
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
	return true
}

// closing answers 401 and closes the connection each time.
func closing(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

// alternating asks for another scheme each time.
func alternating() func(http.ResponseWriter, *http.Request) bool {
	schemes := []string{"Basic", "Bearer", `Bearer error="invalid_token"`, "Negotiate", "DPoP", ""}
	var n atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("WWW-Authenticate", schemes[n.Add(1)%int64(len(schemes))])
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

// An API that says the token which it got does not bring it into logs, however
// long the token is.
func TestTransport_token_in_a_challenge(t *testing.T) {
	for _, size := range []int{10, 200, 300, 4000} {
		token := strings.Repeat("t0K", size/3)
		shown := new(logBuffer)
		src := newSource(t, transport.SourceConfig{
			Refresh: func(_ context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
				return transport.WithOAuth2(old, target, &oauth2.Token{AccessToken: token})
			},
			Logger:   slog.New(slog.NewJSONHandler(shown, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Observer: &transport.Observer{Rejected: func(e transport.Rejected) { fmt.Fprintf(shown, "%+v", e) }},
		})
		tr := newTransport(t, transport.Config{Source: src, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
			resp := answerTo(req, 401, http.NoBody)
			resp.Header.Set("WWW-Authenticate", `Bearer error="not good: `+token+`"`)
			return resp, nil
		})})
		send(t, tr, request(t, "GET", "https://api.test/", nil))
		src.Close(t.Context())
		if text := shown.String(); strings.Contains(text, token[:9]) || !strings.Contains(text, "[redacted]") {
			t.Errorf("a token of %d bytes is shown: %.2000s", size, text)
		}
	}
}
