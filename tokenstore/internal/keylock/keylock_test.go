package keylock

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLocksLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Locks
		unlock, err := l.Lock(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := l.Lock(ctx, "k"); err != context.DeadlineExceeded {
					t.Errorf("Lock of a held key = %v", err)
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

func TestLocksOfOtherKeysStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Locks
		unlock, err := l.Lock(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		other, err := l.Lock(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		defer other()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := l.Lock(ctx, "a"); err != context.DeadlineExceeded {
			t.Errorf("Lock of a held key, after that of another = %v", err)
		}
	})
}
