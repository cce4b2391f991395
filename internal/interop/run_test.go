package interop_test

import (
	"slices"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/testserver"
)

// A run keeps a session for many lifetimes of its access token, while callers use
// it.
type run struct {
	w          *world
	session    *client.Session
	callers    *callers
	start      time.Time
	newest     string // the refresh token, when it began
	refreshes  int    // carried out before the callers' last round
	calls      tally
	nonces     bool           // they change, and a call that lost one and its token may be over
	faults     map[string]int // by name
	unanswered int            // refreshes on which the server did not act
}

// run begins one, with n callers for each session. The sessions are the same one,
// of several clients.
func (w *world) run(n int, sessions ...*client.Session) *run {
	w.t.Helper()
	newest := w.refreshToken()
	w.front.Log().Keep(1 << 18) // from now on; calls are many, and no refresh must drop out
	return &run{
		w: w, session: sessions[0], callers: w.callers(n, sessions...), start: time.Now(),
		newest: newest, refreshes: w.front.Log().Refreshes(),
		calls: make(tally), faults: make(map[string]int),
	}
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
	if st := r.session.Status(); st.Expiry.IsZero() {
		w.t.Errorf("fault %s: the expiry of the token is not known", f.name)
	}
	want := []outcome{ok}
	now := w.front.Log().Refreshes()
	if now > r.refreshes+1 || r.nonces { // on a slow machine: one call may have lost two tokens, and is not sent a third time
		want = append(want, twice)
	}
	r.refreshes = now
	if f.pause > 0 {
		w.wantPause(f.pause)
		want = append(want, paused, pausedAfter)
	}
	wantOnly(w.t, calls, want...)
	r.calls.add(calls)
	r.faults[f.name]++
	if !f.acts {
		r.unanswered++
	}
}

// wantPause checks how long the last fault was followed by nothing. The slack is for
// steps of the clock.
func (w *world) wantPause(least time.Duration) {
	w.t.Helper()
	all := w.refreshes()
	for i, e := range slices.Backward(all) {
		if !e.Injected {
			continue
		}
		if pause := all[i+1].Time.Sub(e.Time); pause < least-10*time.Millisecond {
			w.t.Errorf("after a 503 it was tried again in %s, want %s or more", pause, least)
		}
		return
	}
}

// end ends the run, which was made of as many lifetimes, each with a ban, closes the
// clients, and checks the refreshes.
func (r *run) end(lifetimes int, ttl time.Duration) {
	w := r.w
	w.t.Helper()
	r.callers.end()
	w.close(w.clients...)
	elapsed := time.Since(r.start)
	granted, asked := r.chain()
	// A token is refreshed after three quarters of its lifetime at the earliest, of
	// which fosite tells up to a second less than it is.
	most := int(elapsed/((ttl-time.Second)*3/4)) + 1 + lifetimes
	if granted < 2*lifetimes || granted > most {
		w.t.Errorf("%d refreshes in %s, want from %d to %d", granted, elapsed, 2*lifetimes, most)
	}
	if asked != granted+r.unanswered {
		w.t.Errorf("%d refreshes were asked for, want %d that were carried out and %d that met a fault", asked, granted, r.unanswered)
	}
	w.t.Logf("%d lifetimes of %s, as many bans, in %s", lifetimes, ttl, elapsed.Round(100*time.Millisecond))
	w.t.Logf("%d refreshes carried out, %d asked for; faults: %v", granted, asked, r.faults)
	w.t.Logf("calls: %v", r.calls)
}

// chain checks that the refreshes of the run came one at a time, and each with the
// refresh token that the one before had brought. It returns how many were carried
// out, and how many asked for.
func (r *run) chain() (granted, asked int) {
	r.w.t.Helper()
	newest := r.newest
	for _, e := range r.w.refreshes() {
		if e.InFlight != 1 {
			r.w.t.Errorf("%d token requests at once: %v", e.InFlight, e)
		}
		if e.RefreshToken != newest {
			r.w.t.Errorf("not with the newest refresh token: %v", e)
		}
		if e.Granted {
			granted++
		}
		if e.NewRefreshToken != "" {
			newest = e.NewRefreshToken
		}
		asked++
	}
	return granted, asked
}
