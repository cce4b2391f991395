//go:build unix || windows

package tokenstore

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeyLocksLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l keyLocks
		unlock, err := l.lock(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := l.lock(ctx, "k"); err != context.DeadlineExceeded {
					t.Errorf("lock of a held key = %v", err)
				}
			})
		}
		wg.Wait() // in no time, since waiting for a key is a durable wait
		unlock()
		if len(l.keys) != 0 {
			t.Errorf("%d keys are kept, want 0", len(l.keys))
		}
	})
}

func TestMemoryWaitIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memory
		began := time.Now()
		hour := func(context.Context, []byte) ([]byte, error) { time.Sleep(time.Hour); return []byte("x"), nil }
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := m.Update(t.Context(), "k", hour); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := time.Since(began); got != 3*time.Hour {
			t.Errorf("three Updates of an hour took %v", got)
		}
		if err := m.Delete(t.Context(), "k"); err != nil || len(m.updates.keys) != 0 || len(m.records) != 0 {
			t.Errorf("after Delete (%v): %d locks, %d records", err, len(m.updates.keys), len(m.records))
		}
	})
}

func TestKeyLocksOfOtherKeysStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l keyLocks
		unlock, err := l.lock(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		other, err := l.lock(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		defer other()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := l.lock(ctx, "a"); err != context.DeadlineExceeded {
			t.Errorf("lock of a held key, after that of another = %v", err)
		}
	})
}
