//go:build unix

package storetests_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
)

// lifetime is that of the access tokens of the fleets.
const lifetime = 2 * time.Second

// leastGap is the least time between two refreshes: the window before the end of a
// token is a quarter of its lifetime, and times are stored in whole milliseconds.
const leastGap = lifetime*3/4 - time.Millisecond

// A fleet is some processes that share one session, which is kept in one store.
// The server rotates refresh tokens, and ends the session when a spent one comes.
type fleet struct {
	*testing.T
	name   string // of the store
	size   int    // how many processes
	job    job
	server *testserver.Server
	store  tokenstore.Store // the parent's own
	began  time.Time

	lost chan struct{} // gets a value when a session is
	dead chan struct{} // gets a value when a worker is

	mu     sync.Mutex // guards what follows
	key    string     // in the store
	living map[string]*process
	login  string               // the first refresh token of the session
	logins int                  //
	begun  map[string]string    // by refresh token: the first one of the session
	over   map[string]bool      // by the first refresh token: the session is lost
	spent  map[string]exchanged // by refresh token
	hit    map[string]hit       // by worker
	script []fate               // what is to happen, one after the other
	frozen string               // the worker that is stopped
	calm   bool                 // the last refresh was let alone
	count  counts
}

// An exchanged is what the server has made of a refresh token.
type exchanged struct {
	by          string
	at          time.Time
	accessToken string
}

// counts are of the table that a run is a line of.
type counts struct{ kills, stops, excused, lost, refused int }

// newFleet begins a session and starts n workers.
func newFleet(t *testing.T, name string, s shared, n int, l leases, refreshTimeout, pause time.Duration, edits ...func(*fleetJob)) *fleet {
	t.Helper()
	f := &fleet{
		T: t, name: name, size: n, server: testserver.NewLoopback(),
		lost: make(chan struct{}, 16), dead: make(chan struct{}, 16),
		living: make(map[string]*process), hit: make(map[string]hit),
		begun: make(map[string]string), over: make(map[string]bool), spent: make(map[string]exchanged),
	}
	t.Cleanup(f.server.Close)
	f.server.SetPolicy(testserver.Policy{AccessLifetime: lifetime})
	f.server.Log().Keep(1 << 18)
	f.server.Inject(testserver.OnRefresh, testserver.Always, f.answer)
	f.job = job{Does: "fleet", Store: name, Place: newPlace(t), Leases: l, Fleet: fleetJob{
		Issuer: f.server.Issuer(), TokenURL: f.server.TokenURL(), APIURL: f.server.APIURL("/me"),
		RefreshTimeout: refreshTimeout, Pause: pause,
	}}
	for _, edit := range edits {
		edit(&f.job.Fleet)
	}
	f.store = s.open(t, f.job.Place, l)
	f.began = time.Now()
	f.signIn()
	var started sync.WaitGroup
	for i := range n {
		p := f.start(fmt.Sprintf("worker-%d", i))
		started.Go(func() { <-p.lines })
	}
	started.Wait()
	for _, p := range f.living {
		p.tell("go")
	}
	return f
}

// A keySpy tells under which key a session is stored.
type keySpy struct {
	tokenstore.Store
	key string
}

func (s *keySpy) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	s.key = key
	return s.Store.Update(ctx, key, next)
}

func (f *fleet) start(name string) *process {
	j := f.job
	j.Name = name
	p := start(f.T, j)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.living[name] = p
	return p
}

// signIn begins a session, as the program does that has the user before it.
func (f *fleet) signIn() {
	f.Helper()
	f.mu.Lock()
	f.login = f.server.BeginSession(account).RefreshToken
	f.logins++
	f.begun[f.login] = f.login
	tok := &oauth2.Token{RefreshToken: f.login}
	f.mu.Unlock()
	fj := f.job.Fleet
	fj.RefreshTimeout = 0
	cfg := fj.config("parent")
	spy := &keySpy{Store: f.store}
	cfg.Store = spy
	c, err := client.New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for c.Session(account).Import(ctx, tok) != nil {
		if ctx.Err() != nil {
			f.Fatal("the new login is not stored")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := c.Close(ctx); err != nil {
		f.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.key = spy.key
}

// awaitAll waits until every worker has made a call that worked. The session may
// turn out to be lost meanwhile.
func (f *fleet) awaitAll() {
	f.Helper()
	now, works := time.Now(), make(map[string]bool)
	for len(works) < len(f.living) {
		if time.Since(now) > patience {
			f.Fatalf("%d of %d processes work at the end", len(works), len(f.living))
		}
		select {
		case <-f.lost:
			f.signIn()
		case <-time.After(200 * time.Millisecond):
		}
		for _, e := range f.server.Log().Entries() {
			if e.Endpoint == testserver.API && e.Time.After(now) && e.Status == http.StatusOK {
				works[e.Header.Get(workerHeader)] = true
			}
		}
	}
}

// end sees that all workers work, ends them and returns what they did.
func (f *fleet) end() (all tally) {
	f.Helper()
	f.awaitAll()
	for _, p := range f.living {
		p.tell("end")
	}
	for _, p := range f.living {
		var one tally
		if err := json.Unmarshal([]byte(p.hear("ended")), &one); err != nil {
			f.Fatal(err)
		}
		if one.Calls == one.Failed+one.Rejected {
			f.Errorf("%s: no call worked: %+v", p.name, one)
		}
		all.add(one)
	}
	return all
}

// judge checks what holds for every run, and writes its line. A refresh token is
// sent again only if the server had not acted on it.
func (f *fleet) judge(all tally) {
	f.Helper()
	elapsed := time.Since(f.began)
	refreshes := f.server.Log().Refreshes()
	granted := make(map[string]int)
	for _, e := range f.server.Log().Entries() {
		if e.Endpoint == testserver.Token && e.Granted {
			granted[e.RefreshToken]++
		}
	}
	if len(granted) != refreshes {
		f.Errorf("%d refreshes with %d refresh tokens: one was exchanged twice", refreshes, len(granted))
	}
	if most := int(elapsed/leastGap) + f.logins; refreshes > most {
		f.Errorf("%d refreshes in %s with %d logins, want %d at the most", refreshes, elapsed, f.logins, most)
	}
	if f.count.lost > 0 {
		f.Errorf("%d sessions are lost without an excuse", f.count.lost)
	}
	f.Logf("%-10s | %9s | %4s | %8s | %8s | %9s | %9s | %5s | %5s | %7s | %4s | %13s | %7s | %12s", "store", "processes", "time",
		"requests", "token r.", "refreshes", "lifetimes", "kills", "stops", "excused", "lost", "invalid_grant", "adopted", "failed calls")
	f.Logf("%-10s | %9d | %3.0fs | %8d | %8d | %9d | %9.1f | %5d | %5d | %7d | %4d | %13d | %7d | %12d", f.name, f.size, elapsed.Seconds(),
		f.server.Log().APIRequests(), f.server.Log().TokenRequests(), refreshes, elapsed.Seconds()/lifetime.Seconds(),
		f.count.kills, f.count.stops, f.count.excused, f.count.lost, f.count.refused, all.Adopted, all.Failed+all.Rejected)
}

// TestRule058_OneRefreshForAllProcesses has 8 and 20 processes call an API with one
// session. Together they refresh as often as one would.
func TestRule058_OneRefreshForAllProcesses(t *testing.T) {
	for _, tt := range []struct{ processes, atOnce int }{{8, 6}, {20, 2}} {
		t.Run(fmt.Sprint(tt.processes), func(t *testing.T) {
			onStores(t, tt.atOnce, false, func(t *testing.T, name string, s shared) {
				f := newFleet(t, name, s, tt.processes, leases{}, 0, 10*time.Millisecond)
				time.Sleep(testenv.Time(t))
				all := f.end()
				f.judgeCalm(all)
				f.judge(all)
			})
		})
	}
}

// TestDPoPFleet has processes share a session whose tokens are bound to a key: they share
// that, too.
func TestDPoPFleet(t *testing.T) {
	onStores(t, 6, false, func(t *testing.T, name string, s shared) {
		f := newFleet(t, name, s, 8, leases{}, 0, 10*time.Millisecond, func(j *fleetJob) { j.DPoP = true })
		f.server.UpdatePolicy(func(p *testserver.Policy) { p.DPoP = true })
		time.Sleep(testenv.Time(t))
		all := f.end()
		f.judgeCalm(all)
		f.judge(all)
		keys := make(map[string]int)
		for _, e := range f.server.Log().Entries() {
			p, err := testserver.ReadProof(e.Header.Get("DPoP"))
			if err != nil {
				t.Fatalf("%v: %v", e, err)
			}
			keys[p.Thumbprint]++
		}
		if len(keys) != 1 {
			t.Errorf("proofs of %d keys, want those of one: %v", len(keys), keys)
		}
	})
}

// judgeCalm checks a run in which nothing happened to anybody.
func (f *fleet) judgeCalm(all tally) {
	f.Helper()
	if all.Failed+all.Rejected > 0 {
		f.Errorf("%d of %d calls failed; one: %s", all.Failed+all.Rejected, all.Calls, all.Error)
	}
	newest := f.login
	for _, e := range f.server.Log().Entries() {
		if e.Endpoint != testserver.Token {
			continue
		}
		if !e.Granted || e.InFlight != 1 || e.RefreshToken != newest {
			f.Errorf("want one token request at a time, with the newest refresh token, and that it is granted: %v", e)
		}
		newest = e.NewRefreshToken
	}
	refreshes := f.server.Log().Refreshes()
	if refreshes < 2 || all.Exchanged != refreshes {
		f.Errorf("the server carried out %d refreshes, want 2 or more, and the processes tell of %d", refreshes, all.Exchanged)
	}
	if all.Adopted == 0 {
		f.Error("no process took what another had stored")
	}
}
