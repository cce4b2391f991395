//go:build unix

package storetests_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// crowdTime is how long a crowd goes on.
const crowdTime = 3 * time.Second

// BenchmarkCrowd has processes that all update one record, as fast as they can.
// Programs do not do that, but after a token was revoked there may be a moment of it.
//
// updates/s is of all together. longest-ms is the longest that one Update took in any
// of them: who has just had its turn is often the next one, too, since the others are
// asleep between two looks. cpu-ms/s is the processor time of all these processes,
// without that of the database; all but one of them are waiting.
func BenchmarkCrowd(b *testing.B) {
	for _, name := range crowdedStores {
		b.Run("store="+name, func(b *testing.B) {
			sharedStores[name].needs(b)
			for _, n := range []int{1, 8, 64} {
				b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) {
					for b.Loop() {
						c := crowd(b, name, n, crowdTime)
						b.ReportMetric(float64(c.InTime)/crowdTime.Seconds(), "updates/s")
						b.ReportMetric(milliseconds(c.Longest), "longest-ms")
						b.ReportMetric(milliseconds(c.CPU)/crowdTime.Seconds(), "cpu-ms/s")
					}
					b.ReportMetric(0, "ns/op") // which would count the start of the processes
				})
			}
		})
	}
}

// Turns are the Updates of one process of a crowd, or of all.
type turns struct {
	All     int
	InTime  int           // that ended before the time was over
	Longest time.Duration // that one of them took
	CPU     time.Duration // of the process
}

func (c *turns) add(o turns) {
	c.All += o.All
	c.InTime += o.InTime
	c.Longest = max(c.Longest, o.Longest)
	c.CPU += o.CPU
}

// crowd has n processes update one record for so long. None is lost.
func crowd(t testing.TB, name string, n int, long time.Duration) (all turns) {
	t.Helper()
	place := newPlace(t)
	store := sharedStores[name].open(t, place, usualLeases)
	members := make([]*process, n)
	for i := range members {
		members[i] = start(t, job{Does: "member", Name: fmt.Sprint("member ", i), Store: name, Place: place, Leases: usualLeases})
	}
	for _, p := range members {
		p.hear("started")
	}
	for _, p := range members {
		p.tell("%s", long)
	}
	for _, p := range members {
		var one turns
		if err := json.Unmarshal([]byte(p.hear("")), &one); err != nil {
			t.Fatal(err)
		}
		all.add(one)
	}
	for _, p := range members {
		p.kill()
	}
	if record, err := store.Load(t.Context(), "k"); err != nil || string(record) != strconv.Itoa(all.All) {
		t.Errorf("after %d Updates the record is %q, %v", all.All, record, err)
	}
	return all
}

// member is one process of a crowd. It ends no wait early: one that is still under way
// when the time is over counts as long as it takes.
func (w *worker) member() {
	long, err := time.ParseDuration(<-w.told)
	if err != nil {
		w.Fatal(err)
	}
	c, before := turns{}, cpuTime()
	for end := time.Now().Add(long); time.Now().Before(end); c.All++ {
		began := time.Now()
		if err := w.store.Update(context.Background(), "k", increment); err != nil {
			w.Fatal(err)
		}
		if time.Now().Before(end) {
			c.InTime++
		}
		c.Longest = max(c.Longest, time.Since(began))
	}
	c.CPU = cpuTime() - before
	text, _ := json.Marshal(c)
	w.say("%s", text)
	<-w.told
}

// cpuTime is what this process has had so far.
func cpuTime() time.Duration {
	var use syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
