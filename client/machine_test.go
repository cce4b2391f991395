package client_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/internal/testserver"
)

// TestMachine lets two processes that share a store, and nothing else, live through random
// sequences of requests, failures, logins and deaths, against a server with single-use
// refresh tokens that ends a session when one comes twice. A model judges all that happens.
//
// The seed of a sequence that fails is printed with its ops; FRESHET_TEST_SEED=seed
// runs it again, a hundred times: the ops are the same each time, the jitter of the SDK
// and the order of goroutines that wake at one time are not.
func TestMachine(t *testing.T) {
	if text := os.Getenv("FRESHET_TEST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("FRESHET_TEST_SEED is %q, want a number", text)
		}
		for range 100 {
			if !runSeed(t, seed, map[string]int{}) {
				return
			}
		}
		return
	}
	least := 0
	switch {
	case os.Getenv("CI") != "true":
	case raceEnabled:
		least = 200
	default:
		least = 2000
	}
	total, n := map[string]int{}, 0
	start, long := time.Now(), testenv.Time(t)
	for ; n < least || time.Since(start) < long; n++ {
		if !runSeed(t, rand.Uint64(), total) {
			t.Fatalf("in sequence %d", n+1)
		}
	}
	t.Logf("%d sequences, %.0f a second", n, float64(n)/time.Since(start).Seconds())
	for _, what := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%8d %s", total[what], what)
	}
}

// TestMachine_found are sequences that once broke.
func TestMachine_found(t *testing.T) {
	for name, ops := range map[string][]op{
		// Two processes import one token, and neither can save its session at once.
		"one login, two sessions": {
			{"fence", 0, 0, 0, 0}, {"fence", 1, 0, 1, 0}, {"disk", 0, 0, 5, time.Second}, {"login", 0, 0, 0, 0}, {"same", 1, 0, 0, 0},
			{"pass", 0, 0, 0, 1100 * time.Millisecond}, {"ask", 0, 0, 0, 0},
			{"pass", 0, 0, 0, 10 * time.Second}, {"ask", 0, 0, 0, 0}, {"ask", 1, 0, 0, 0},
		},
		// … or the store loses one of them, and then the other.
		"one login, two sessions, one lost": {
			{"login", 1, 0, 0, 0}, {"lose", 0, 0, 1, 0}, {"same", 0, 0, 0, 0}, {"lose", 0, 0, 10, 0}, {"ask", 1, 0, 0, 0},
		},
		// The store gets an older copy while a logout revokes what it had.
		"rolled back in mid-logout": {
			{"fault", 1, 0, 62879, 58806 * time.Millisecond}, {"ask", 0, 0, 56448, 51398 * time.Millisecond}, {"restart", 0, 0, 8957, 3 * time.Millisecond},
			{"both", 1, 0, 29484, 9913 * time.Millisecond}, {"logout", 0, 0, 28466, 5654 * time.Millisecond}, {"lose", 0, 0, 11734, 9521 * time.Millisecond},
		},
		// … or one of them logs out what the other has begun with it.
		"one login, two sessions, logged out": {
			{"fault", 0, 0, 10599, 4823 * time.Millisecond}, {"ask", 0, 0, 26004, 0}, {"login", 0, 0, 0, 0}, {"forget", 0, 0, 0, 0},
			{"same", 0, 0, 0, 0}, {"logout", 0, 0, 0, 0}, {"same", 1, 0, 0, 0}, {"get", 1, 0, 0, 0},
		},
		// A caller comes as a refresh ends that began before a logout.
		"logged out, and a token on its way": {
			{"disk", 0, 0, 15967, 278228 * time.Millisecond}, {"busy", 1, 0, 0, 46140 * time.Millisecond}, {"pass", 1, 0, 0, 7066 * time.Millisecond},
			{"logout", 1, 0, 0, 0}, {"pass", 0, 0, 0, 977 * time.Millisecond},
		},
		// A refusal by mistake, and the store hangs when it is to be read again.
		"refused, and what is stored is not known": {
			{"disk", 0, 0, 46162, 4834 * time.Millisecond}, {"ask", 0, 0, 52170, 0}, {"disk", 1, 0, 51082, 6894 * time.Millisecond},
			{"pass", 1, 0, 0, 903 * time.Millisecond}, {"disk", 0, 0, 23693, 141709 * time.Millisecond}, {"busy", 1, 0, 883, 82268 * time.Millisecond},
			{"mistake", 1, 0, 15502, 376 * time.Millisecond}, {"pass", 0, 0, 0, 3989 * time.Millisecond},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if m := runOps(t, 1, ops); len(m.model.broken) > 0 {
				t.Errorf("%s\n%s", strings.Join(m.model.broken, "\n\t"), strings.Join(m.model.log, "\n"))
			}
		})
	}
}

// runSeed runs the sequence of a seed and fails the test if a property breaks.
func runSeed(t *testing.T, seed uint64, total map[string]int) bool {
	t.Helper()
	ops := drawOps(rand.New(rand.NewPCG(seed, 0)))
	m := runOps(t, seed, ops)
	for what, n := range m.model.count {
		total[what] += n
	}
	if len(m.model.broken) == 0 {
		return true
	}
	shorter, n := shrink(t, seed, ops)
	if n != nil {
		m = n
	}
	t.Errorf("seed %d: %s\n%d of %d ops are enough:\n%v\n%s", seed, strings.Join(m.model.broken, "\n\t"),
		len(shorter), len(ops), shorter, strings.Join(m.model.log, "\n"))
	return false
}

// shrink leaves out ops as long as something breaks, and returns what is left and its run.
func shrink(t *testing.T, seed uint64, ops []op) (_ []op, last *machine) {
	end := time.Now().Add(5 * time.Second)
	for size := len(ops) / 2; size > 0; size /= 2 {
		for i := 0; i+size <= len(ops) && time.Now().Before(end); {
			fewer := slices.Delete(slices.Clone(ops), i, i+size)
			if m := breaks(t, seed, fewer); m != nil {
				ops, last = fewer, m
			} else {
				i += size
			}
		}
	}
	return ops, last
}

// breaks runs ops a few times and returns a run in which something broke, or nil.
func breaks(t *testing.T, seed uint64, ops []op) *machine {
	for range 5 {
		if m := runOps(t, seed, ops); len(m.model.broken) > 0 {
			return m
		}
	}
	return nil
}

// A machine is the world: a server, a store, two processes, and what happens to them.
type machine struct {
	model     *model
	server    *testserver.Server
	shelf     *shelf
	processes [2]*process
	started   int
	sent      []*send // guarded by model.mu, as what follows
	faults    []serverFault
	outage    serverFault
	crashed   bool // a process, with what it had
	callers   sync.WaitGroup
}

func runOps(t *testing.T, seed uint64, ops []op) (m *machine) {
	m = &machine{}
	dog := time.AfterFunc(time.Minute, func() { panic(fmt.Sprintf("seed %d does not end", seed)) })
	defer dog.Stop()
	defer func() {
		if v := recover(); v != nil { // a goroutine that does not end, for one
			m.model.violated("%v", v)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		m.begin(rand.New(rand.NewPCG(seed, 1)))
		for _, o := range ops {
			m.do(o)
		}
		m.finish()
	})
	return m
}

func (m *machine) begin(r *rand.Rand) {
	m.model = &model{
		began: time.Now(), tokens: map[string]*rtoken{}, sessions: map[string]*family{}, issued: map[string]*accessToken{}, count: map[string]int{},
	}
	for _, name := range []string{"alice", "bob"} {
		m.model.accounts = append(m.model.accounts, &user{name: name, lost: map[string]time.Time{}})
	}
	m.server = testserver.New()
	m.server.SetPolicy(testserver.Policy{AccessLifetime: drawTime(r) + 20*time.Second})
	m.server.Inject(testserver.OnToken, testserver.Always, m.serve)
	m.server.Inject(testserver.OnRevoke, testserver.Always, m.serveRevocation)
	m.shelf = newShelf(m.model)
	for i := range m.processes {
		m.start(i)
	}
	for i, a := range m.model.accounts {
		m.processes[i].importToken(m.newLogin(a), time.Minute)
	}
}

// newLogin begins a session at the server.
func (m *machine) newLogin(a *user) *family {
	m.model.mu.Lock()
	defer m.model.mu.Unlock()
	return m.model.login(a, m.server.BeginSession(a.name).RefreshToken)
}

// finish ends all faults, lets time pass, and looks whether every process comes to
// a good token: by itself, where the session lives, and else after a login.
func (m *machine) finish() {
	m.heal()
	for _, p := range m.processes {
		m.model.mu.Lock()
		p.fenced = 0
		m.model.mu.Unlock()
	}
	m.callers.Wait()
	time.Sleep(2 * time.Hour)
	for _, p := range m.processes {
		m.model.mu.Lock()
		m.model.judgeStored(p)
		m.model.mu.Unlock()
	}
	for _, a := range m.model.accounts {
		m.judgeEnd(a)
		m.model.mu.Lock()
		m.model.judgeRevoked(a, m.crashed)
		m.model.mu.Unlock()
	}
	for _, p := range m.processes {
		p.stop(time.Minute)
	}
	m.server.Close()
}

func (m *machine) judgeEnd(a *user) {
	for _, p := range m.processes {
		p.get(a, time.Minute) // and writes what the store lost
	}
	time.Sleep(time.Minute)
	good, out := true, m.isOut(a)
	for _, p := range m.processes {
		got := p.get(a, time.Minute)
		m.want(!out || !got, "%s: %s: a token hours after the logout", p, a.name)
		good = got && good
	}
	if !good {
		m.judgeLost(a)
		m.processes[0].importToken(m.newLogin(a), time.Minute)
		time.Sleep(time.Minute) // a pause that others keep
		for _, p := range m.processes {
			m.want(p.get(a, time.Minute), "%s: %s: no token after a login", p, a.name)
		}
	}
	synctest.Wait() // for what goes on behind the callers
	stored := m.shelf.record(a.key)
	m.want(stored != nil && m.model.lives(stored), "%s: the store ends with %v, which is not good", a.name, stored)
}

// isOut reports whether a was logged out, and its last session can't be any more.
func (m *machine) isOut(a *user) bool {
	m.model.mu.Lock()
	defer m.model.mu.Unlock()
	tomb := a.latest().tomb
	return !tomb.IsZero() && !a.lostSince(tomb)
}

// judgeLost: a session that does not come back was lost for a reason.
func (m *machine) judgeLost(a *user) {
	if m.shelf.get(a.key) != nil && m.shelf.record(a.key) == nil {
		return // only a login replaces what can't be read
	}
	for _, p := range m.processes {
		m.model.mu.Lock()
		why := m.model.excuseLogin(p, a, time.Now())
		m.model.mu.Unlock()
		m.want(why != "", "%s: %s: no token, although all is well again", p, a.name)
	}
}

func (m *machine) want(ok bool, format string, args ...any) {
	if !ok {
		m.model.mu.Lock()
		defer m.model.mu.Unlock()
		m.model.violated(format, args...)
	}
}
