package client

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

// held returns how many sessions the Client itself has in memory.
func (all *sessions) held() (n int) {
	all.each(func(sh *shard) { n += len(sh.asked) + len(sh.held) })
	return n
}

// left returns how many sessions anything has in memory.
func (all *sessions) left() int {
	runtime.GC()
	open := make(map[string]*transport.Source)
	for i := range all.shards {
		all.shards[i].collect(open)
	}
	return len(open)
}

func (all *sessions) each(f func(sh *shard)) {
	for i := range all.shards {
		sh := &all.shards[i]
		sh.mu.Lock()
		f(sh)
		sh.mu.Unlock()
	}
}

// turn is what comes when other sessions are asked for and it is time.
func (all *sessions) turn() { all.each((*shard).turnLocked) }

// rest lets the time pass in which a session is not asked for.
func (all *sessions) rest() {
	all.turn()
	time.Sleep(restTime)
	all.turn()
}

// All who ask for an account have one session in memory, also when some came so late
// that the Client did not keep it.
func TestSessions_one_for_all(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		again := f.client.Session("alice")
		f.client.sessions.rest()
		if f.client.sessions.held() != 0 {
			t.Fatal("the session does not rest")
		}
		late, kept := f.client.Session("alice"), f.client.session("alice", false)
		if late != f.session || again != late || kept != late {
			t.Error("there are several of it")
		}
		if other := f.client.Session("bob"); other == late {
			t.Error("bob has alice's")
		}
		source, view := late.source, late.For(Target{Scopes: []string{"read"}})
		f.session, again, late, kept = nil, nil, nil, nil
		f.client.sessions.rest()
		runtime.GC()
		if s := f.client.Session("alice"); s.source != source || s.source != view.source {
			t.Error("the view has another one")
		}
	})
}

// A session that is not asked for, and that nothing has, goes; then it comes from the
// store again, without a refresh.
func TestSessions_are_given_back(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		for i := range 100 {
			importFor(t, f, fmt.Sprint("user-", i))
		}
		before := f.client.sessions.left()
		f.session = nil
		f.client.sessions.rest()
		f.client.sessions.rest()
		if left := f.client.sessions.left(); before != 101 || left != 0 {
			t.Errorf("of %d sessions %d are left", before, left)
		}
		f.client.sessions.rest()
		f.client.sessions.each(func(sh *shard) {
			if len(sh.resting) > 0 {
				t.Errorf("%d are known still", len(sh.resting))
			}
		})
		calls := func() int {
			return len(f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.Token }))
		}
		before = calls()
		if _, err := f.client.Session("user-7").Token(t.Context()); err != nil || calls() != before {
			t.Errorf("%v, %d token requests", err, calls()-before)
		}
	})
}

// What would be lost stays: a session that the program has, one that is refreshed, and
// one whose token can't be saved.
func TestSessions_stay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFailing()
		f := newFixture(t, func(c *Config) { c.Store = store })
		sources := func(account string) *transport.Source { return f.client.session(account, false).source }
		had := importFor(t, f, "had")
		importFor(t, f, "unsaved")
		importFor(t, f, "refreshed")
		time.Sleep(2 * time.Hour)
		store.setBroken(f.client.key("unsaved"), true)
		if _, err := f.client.Session("unsaved").Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		gate := f.Hold(testserver.OnToken)
		go f.client.Session("refreshed").Token(t.Context())
		synctest.Wait()
		f.session = nil
		f.client.sessions.turn()
		f.client.sessions.turn() // no time passes: the refresh would
		if n := f.client.sessions.left(); n != 3 {
			t.Errorf("%d sessions are left, want three", n)
		}
		if !sources("unsaved").Status().Unsaved || sources("had") != had.source {
			t.Error("another session took the place")
		}
		gate.Release()
		store.setBroken(f.client.key("unsaved"), false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := f.client.sessions.left(); n != 1 {
			t.Errorf("%d sessions are left, want the one that the program has", n)
		}
		runtime.KeepAlive(had)
	})
}

// importFor begins a session of an account.
func importFor(t *testing.T, f *fixture, account string) *Session {
	t.Helper()
	s := f.client.Session(account)
	if err := s.Import(t.Context(), &oauth2.Token{RefreshToken: f.BeginSession(account).RefreshToken}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// Who asks while a Client is closed has a session that Close has heard of, or one that
// is closed.
func TestSessions_close(t *testing.T) {
	for range 100 {
		f := newFixture(t)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				s := f.client.Session(fmt.Sprint(i))
				err := s.Import(context.Background(), &oauth2.Token{RefreshToken: fmt.Sprint("rt-", i)})
				if _, closed := f.client.sessions.close()[s.account]; err == nil && !closed {
					t.Error("Close does not know it")
				}
			})
		}
		f.client.Close(t.Context())
		wg.Wait()
	}
}

// To ask for a session that is there takes no memory.
func TestSession_allocates_nothing(t *testing.T) {
	f := newFixture(t)
	if n := testing.AllocsPerRun(100, func() { f.client.Session("alice") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
