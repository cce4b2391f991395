//go:build unix

package storetests_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/testenv"
)

// A fate is what befalls a worker whose refresh has come to the server: before that
// acts on it, which it then does not do, or after it has rotated the refresh token
// and before its answer goes out.
type fate struct{ after, stops bool }

var fates = []fate{{}, {stops: true}, {after: true}, {after: true, stops: true}}

// A hit is what happened to a worker.
type hit struct {
	stops bool
	until time.Time // when a stopped one went on; zero before
}

// wasHit reports whether that worker is dead, or was stopped at that time or later.
func (f *fleet) wasHit(name string, at time.Time) bool {
	h, found := f.hit[name]
	return found && (!h.stops || h.until.IsZero() || h.until.After(at))
}

// The times of a fleet to whose workers something happens. They are short, so that
// a holder that is away is soon replaced.
const hitRefreshTimeout = 1500 * time.Millisecond

var hitLeases = leases{Length: 2500 * time.Millisecond, Settle: 800 * time.Millisecond}

// fateOf returns what befalls a worker, and its process, which is nil if that is
// nothing. One is stopped at a time, and in between a refresh is let alone.
func (f *fleet) fateOf(by string) (fate, *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.living[by]
	if f.calm = !f.calm; f.calm || p == nil || f.frozen != "" || len(f.script) == 0 {
		return fate{}, nil
	}
	what := f.script[0]
	f.script = f.script[1:]
	if what.stops {
		f.frozen = by
		f.hit[by] = hit{stops: true}
		f.count.stops++
	} else {
		f.dies(by)
	}
	return what, p
}

// dies notes that a worker is killed.
func (f *fleet) dies(name string) {
	delete(f.living, name)
	f.hit[name] = hit{}
	f.count.kills++
}

// befall kills the process, or stops it for twice the lease. Where the server is
// not to act, it returns only then.
func (f *fleet) befall(p *process, what fate) {
	if !what.stops {
		p.kill()
		f.dead <- struct{}{}
		return
	}
	if err := p.stop(); err != nil {
		f.Error(err)
	}
	over := make(chan struct{})
	time.AfterFunc(2*f.job.Leases.Length, func() {
		defer close(over)
		if err := p.goOn(); err != nil {
			f.Error(err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.frozen = ""
		f.hit[p.name] = hit{stops: true, until: time.Now()}
	})
	if !what.after {
		<-over
	}
}

// TestRule119_NoSessionIsLost has processes share a session while one of them is
// killed every second, and others are killed or stopped in mid-refresh.
func TestRule119_NoSessionIsLost(t *testing.T) {
	sizes := []int{8}
	if testenv.Time(t) >= 20*time.Second {
		sizes = append(sizes, 20)
	}
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			onStores(t, 6*8/n, false, func(t *testing.T, name string, s shared) {
				f := newFleet(t, name, s, n, hitLeases, hitRefreshTimeout, 50*time.Millisecond)
				f.suffer(testenv.Time(t))
				all := f.end()
				if all.Rejected > 0 && f.logins == 1 {
					f.Errorf("%d calls were told that a login is needed, and no session was lost", all.Rejected)
				}
				f.judge(all)
			})
		})
	}
}

// suffer lets everything happen once, and more if there is time.
func (f *fleet) suffer(d time.Duration) {
	f.Helper()
	f.plan(fates)
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for limit := time.Now().Add(d + 2*patience); ; {
		select {
		case <-every.C:
			f.killAny()
		case <-f.dead:
			f.replace()
		case <-f.lost:
			f.signIn()
		}
		switch {
		case time.Now().After(limit):
			f.Fatal("the refreshes do not come")
		case !f.played():
		case time.Since(f.began) < d:
			f.plan(fates)
		default:
			return
		}
	}
}

func (f *fleet) plan(script []fate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = script
}

// played reports whether all has happened that was planned, and is over: whoever died
// is replaced.
func (f *fleet) played() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.script) == 0 && f.frozen == "" && len(f.living) == f.size && len(f.lost) == 0
}

// killAny kills a worker that is not stopped.
func (f *fleet) killAny() {
	f.mu.Lock()
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(f.living)), func(name string) bool { return name == f.frozen })
	name := names[rand.N(len(names))]
	p := f.living[name]
	f.dies(name)
	f.mu.Unlock()
	p.kill()
	f.replace()
}

// replace starts a worker in the place of one that died.
func (f *fleet) replace() {
	f.Helper()
	f.mu.Lock()
	name := fmt.Sprintf("after-%d", f.count.kills)
	f.mu.Unlock()
	p := f.start(name)
	p.hear("started")
	p.tell("go")
}
