//go:build unix

package storetests_test

import (
	"testing"
	"time"
)

// TestBenchmarks runs what the benchmarks of processes measure, for a moment, so that
// it goes on working. TestNothingRuns_after_an_Update does that for BenchmarkStores.
func TestBenchmarks(t *testing.T) {
	l := leases{Length: 2 * time.Second, Settle: 200 * time.Millisecond}
	onStores(t, 6, false, func(t *testing.T, name string, _ shared) {
		if waited, late := takeover(t, name, l); waited <= 0 || late > patience {
			t.Errorf("a takeover comes after %s, late by %s", waited, late)
		}
		if all := crowd(t, name, 2, 200*time.Millisecond); all.InTime == 0 || all.Longest <= 0 || all.CPU <= 0 {
			t.Errorf("a crowd has %+v", all)
		}
	})
}
