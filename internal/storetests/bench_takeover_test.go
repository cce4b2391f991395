//go:build unix

package storetests_test

import (
	"testing"
	"time"
)

// usualLeases are the defaults of the stores that have leases.
var usualLeases = leases{Length: 30 * time.Second, Settle: 5 * time.Second}

// crowdedStores are those that processes share.
var crowdedStores = []string{"Dir", "SQLite", "PostgreSQL", "MariaDB", "Redis"}

// watchTime is how long the next one has been waiting when the holder dies: until
// it polls as slowly as it ever does.
const watchTime = time.Second

// BenchmarkTakeover measures how long the exclusion of a record stays with a process
// that was killed: takeover-ms is from its death until another process, which was
// waiting, has its turn.
//
// The system frees the lock of a Dir, so there it is what is left of a pause between
// two looks at the lock file: 75 ms at the most. A lease ends by time: it is what is
// left of its length, then the settle time, then what is left of a pause, of 375 ms
// at the most. late-ms is the last part alone.
func BenchmarkTakeover(b *testing.B) {
	for _, name := range crowdedStores {
		b.Run("store="+name, func(b *testing.B) {
			sharedStores[name].needs(b)
			for b.Loop() {
				waited, late := takeover(b, name, usualLeases)
				b.ReportMetric(milliseconds(waited), "takeover-ms")
				b.ReportMetric(milliseconds(late), "late-ms")
			}
			b.ReportMetric(0, "ns/op") // which would count the preparations
		})
	}
}

// takeover returns how long another process waits for one that was killed while it
// had the exclusion, and how much of that is later than the store promises.
func takeover(t testing.TB, name string, l leases) (waited, late time.Duration) {
	t.Helper()
	s, place := sharedStores[name], newPlace(t)
	s.open(t, place, l) // what it makes is this process's to remove
	holder := start(t, job{Does: "holder", Name: "holder", Store: name, Place: place, Leases: l})
	holder.hear("started")
	holder.hear("inside")
	held := time.Now()
	next := start(t, job{Does: "holder", Name: "next", Store: name, Place: place, Leases: l})
	next.hear("started")
	time.Sleep(watchTime)
	killed := time.Now()
	holder.kill()
	next.hear("inside")
	due := killed
	if s.leased {
		due = held.Add(l.Length + l.Settle)
	}
	waited, late = time.Since(killed), time.Since(due)
	next.kill()
	return waited, late
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
