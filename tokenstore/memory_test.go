package tokenstore

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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
		if err := m.Delete(t.Context(), "k"); err != nil || len(m.records) != 0 {
			t.Errorf("after Delete (%v): %d records", err, len(m.records))
		}
	})
}
