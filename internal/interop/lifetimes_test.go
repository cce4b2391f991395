package interop_test

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/internal/testserver"
)

// A fault happens to one refresh. None of them makes the server act and loses what
// it answers, so none of them may cost the session.
type fault struct {
	name   string
	action testserver.Action // nil where the server itself does it
	keeps  bool              // the server keeps the refresh token: see below
	acts   bool              // the server carries the refresh out
	pause  time.Duration     // until the next try at least; calls may fail in it
}

// The faults. "refresh_token": null would be a lost token if the server had rotated
// it, so it comes from one that has not.
var faults = []fault{
	{name: "slow", action: testserver.DelayBefore(200 * time.Millisecond), acts: true},
	{name: "dropped", action: testserver.Drop()},
	{name: "refresh_token null", action: nullRefreshToken, keeps: true, acts: true},
	{name: "503", action: testserver.Status(503), pause: 375 * time.Millisecond},
	{name: "slow answer", action: testserver.DelayAfter(200 * time.Millisecond), acts: true},
	{name: "truncated", action: testserver.Truncate().Then(neverIssued)},
	{name: "expires_in as a string", action: stringLifetime, acts: true},
	{name: "503 with Retry-After", action: testserver.Status(503, "Retry-After", "1"), pause: time.Second},
}

// neverIssued is an answer of something before the server: the server has not acted.
var neverIssued = testserver.Respond(200, http.Header{"Content-Type": {"application/json"}},
	`{"access_token":"never-issued","token_type":"bearer","expires_in":3600}`)

// stringLifetime quotes the expires_in of the server's answer, as some servers do.
func stringLifetime(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	answer := httptest.NewRecorder()
	next(answer, r)
	maps.Copy(w.Header(), answer.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(answer.Code)
	body := plainLifetime.ReplaceAll(answer.Body.Bytes(), []byte(`"expires_in":"$1"`))
	if bytes.Equal(body, answer.Body.Bytes()) {
		panic("there is no expires_in to change")
	}
	w.Write(body)
}

// nullRefreshToken takes the refresh token that the server has not changed out of its
// answer, as servers that don't rotate do.
func nullRefreshToken(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	answer := httptest.NewRecorder()
	next(answer, r)
	maps.Copy(w.Header(), answer.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(answer.Code)
	w.Write(keptToken.ReplaceAll(answer.Body.Bytes(), []byte(`"refresh_token":null`)))
}

var keptToken = regexp.MustCompile(`"refresh_token":"[^"]*"`)

var plainLifetime = regexp.MustCompile(`"expires_in":(\d+)`)

// TestLifetimes begins a session with x/oauth2, imports it, and keeps it for many
// lifetimes of its access token. In each of them one refresh comes from the expiry
// and one from a ban at the API, each under a fault, while 50 goroutines call.
//
// No session is lost, one refresh runs at a time, and all calls are answered 200,
// except in the pause after a 503: a token that has expired or was refused can't be
// replaced before that is over.
//
// It is 4 lifetimes by default, and all 20 where FRESHET_TEST_TIME is 20s or more.
func TestLifetimes(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	lifetimes := min(max(int(testenv.Time(t)/time.Second), 4), 20)
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ttl := ttl
			if kind == oidc { // its tokens die up to a second before it says; with the bans that would open the breaker
				ttl = 10 * time.Second
			}
			lifetimesAt(t, newWorldOf(t, kind, ttl), lifetimes, ttl)
		})
	}
}

func lifetimesAt(t *testing.T, w *world, lifetimes int, ttl time.Duration) {
	r := w.run(50, w.imported(w.client(nil), w.login()))
	for i := range lifetimes {
		r.refresh(faults[i%len(faults)], false)
		r.refresh(faults[(i+len(faults)/2)%len(faults)], true)
	}
	r.end(lifetimes, ttl)
}

// TestKeptRefreshToken sees that the server keeps a refresh token when told to, and
// rotates it otherwise, with the same end for a spent one.
func TestKeptRefreshToken(t *testing.T) {
	w := newWorld(t, time.Hour)
	begun := w.login()
	for _, step := range []struct {
		keep, works bool
	}{{true, true}, {true, true}, {false, true}, {false, false}} {
		w.server.KeepRefreshTokens(step.keep)
		tok, err := w.spend(begun)
		if works := err == nil; works != step.works {
			t.Fatalf("%+v: error %v", step, err)
		}
		if err == nil && (tok.RefreshToken == begun.RefreshToken) != step.keep {
			t.Errorf("%+v: the refresh token is the same one: %t", step, !step.keep)
		}
	}
}
