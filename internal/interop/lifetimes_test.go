package interop_test

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/freshet-go/freshet/client"
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
	pauses bool              // it is tried again after a pause only, in which calls fail
}

// The faults. "refresh_token": null would be a lost token if the server had rotated
// it, so it comes from one that has not.
var faults = []fault{
	{name: "slow", action: testserver.DelayBefore(200 * time.Millisecond), acts: true},
	{name: "dropped", action: testserver.Drop()},
	{name: "refresh_token null", keeps: true, acts: true},
	{name: "503", action: testserver.Status(503), pauses: true},
	{name: "slow answer", action: testserver.DelayAfter(200 * time.Millisecond), acts: true},
	{name: "truncated", action: testserver.Truncate().Then(neverIssued)},
	{name: "expires_in as a string", action: stringLifetime, acts: true},
	{name: "503 with Retry-After", action: testserver.Status(503, "Retry-After", "1"), pauses: true},
}

// neverIssued is an answer of something before the server: the server has not acted.
var neverIssued = testserver.Respond(200, http.Header{"Content-Type": {"application/json"}},
	`{"access_token":"never-issued","token_type":"bearer","expires_in":3600}`)

// stringLifetime quotes the expires_in of the server's answer, as some servers do.
func stringLifetime(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	answer := httptest.NewRecorder()
	next(answer, r)
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	body := plainLifetime.ReplaceAll(answer.Body.Bytes(), []byte(`"expires_in":"$1"`))
	if bytes.Equal(body, answer.Body.Bytes()) {
		panic("there is no expires_in to change")
	}
	w.Write(body)
}

var plainLifetime = regexp.MustCompile(`"expires_in":(\d+)`)

// TestLifetimes begins a session with x/oauth2, imports it, and keeps it for many
// lifetimes of its access token. In each of them one refresh comes from the expiry
// and one from a ban at the API, each under a fault, while 50 goroutines call.
//
// No session is lost, one refresh runs at a time, and all calls are answered 200,
// except in the pause after a 503: a token that has expired or was refused can't be
// replaced before that is over.
func TestLifetimes(t *testing.T) {
	lifetimes, ttl := 4, 2*time.Second
	if d := testenv.Time(t); d > 4*time.Second {
		lifetimes = min(int(d/time.Second), 20)
	}
	if lifetimes == 20 {
		ttl = 3 * time.Second
	}
	w := newWorld(t, ttl)
	w.front.Log().Keep(1 << 18) // the calls are many, and no refresh must drop out
	s := w.imported(w.client(nil), w.login())
	first := w.refreshToken()
	start, run := time.Now(), &run{w: w, session: s, callers: w.callers(50, s), seen: make(tally), done: make(map[string]int)}
	for i := range lifetimes {
		run.refresh(faults[i%len(faults)], false)
		run.refresh(faults[(i+len(faults)/2)%len(faults)], true)
	}
	run.callers.end()
	elapsed := time.Since(start)

	granted := w.wantChain(first)
	// At the earliest after three quarters of what it is said to live, a second less
	// than it does.
	bound := int(elapsed/((ttl-time.Second)*3/4)) + 1 + lifetimes
	if granted < 2*lifetimes || granted > bound {
		t.Errorf("%d refreshes in %d lifetimes and %s, want from %d to %d", granted, lifetimes, elapsed, 2*lifetimes, bound)
	}
	if all := len(w.refreshes()); all != granted+run.unanswered {
		t.Errorf("%d refreshes were asked for, want %d that were carried out and %d that met a fault", all, granted, run.unanswered)
	}
	t.Logf("%d lifetimes of %s, as many bans, in %s", lifetimes, ttl, elapsed.Round(100*time.Millisecond))
	t.Logf("%d requests to the API, %d refreshes carried out, %d asked for", w.front.Log().APIRequests(), granted, len(w.refreshes()))
	t.Logf("faults: %v", run.done)
	t.Logf("calls: %v", run.seen)
}

// A run is what a test of many lifetimes has so far.
type run struct {
	w          *world
	session    *client.Session
	callers    *callers
	seen       tally
	done       map[string]int // faults, by name
	unanswered int            // refreshes on which the server did not act
}

// refresh has one refresh happen to f, at the expiry of the token or because it is
// banned, and waits until the session has a new token and the callers use it.
func (r *run) refresh(f fault, ban bool) {
	w := r.w
	w.t.Helper()
	before := w.front.Log().Refreshes()
	w.server.KeepRefreshTokens(f.keeps)
	hits := func() int { return 1 }
	if f.action != nil {
		hits = w.front.Inject(testserver.OnRefresh, 1, f.action).Hits
	}
	if ban {
		w.ban(r.session)
	}
	w.await("the refresh with the fault "+f.name+" is over", func() bool {
		return hits() == 1 && w.front.Log().Refreshes() > before
	})
	w.server.KeepRefreshTokens(false)
	calls := r.callers.round()
	for o, n := range calls {
		if o != ok && !(f.pauses && (o == paused || o == pausedAfter)) {
			w.t.Errorf("fault %s, ban %t: %d calls ended so: %s", f.name, ban, n, o)
		}
	}
	r.seen.add(calls)
	r.done[f.name]++
	if !f.acts {
		r.unanswered++
	}
}

// refreshToken returns the newest refresh token that was issued.
func (w *world) refreshToken() string {
	w.t.Helper()
	all := w.front.Log().Select(func(e testserver.Entry) bool { return e.NewRefreshToken != "" })
	if len(all) == 0 {
		w.t.Fatal("no refresh token was issued")
	}
	return all[len(all)-1].NewRefreshToken
}

// wantChain checks that refreshes came one at a time, and each with the refresh
// token that the one before had brought, first to begin with. It returns how many
// were carried out.
func (w *world) wantChain(first string) (granted int) {
	w.t.Helper()
	for _, e := range w.refreshes() {
		if e.InFlight != 1 {
			w.t.Errorf("%d token requests at once: %v", e.InFlight, e)
		}
		if e.RefreshToken != first {
			w.t.Errorf("not with the newest refresh token: %v", e)
		}
		if e.Granted {
			granted++
		}
		if e.NewRefreshToken != "" {
			first = e.NewRefreshToken
		}
	}
	return granted
}
