package tokenstore_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

func TestStoreExclusion(t *testing.T) {
	const workers, times = 8, 10
	each(t, func(t *testing.T, s tokenstore.Store) {
		var running atomic.Int32
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range times {
					err := s.Update(t.Context(), "k", func(ctx context.Context, old []byte) ([]byte, error) {
						if n := running.Add(1); n != 1 {
							t.Errorf("%d Updates at once", n)
						}
						defer running.Add(-1)
						runtime.Gosched()
						return increment(ctx, old)
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		wantRecord(t, s, "k", strconv.Itoa(workers*times))
	})
}

// holding runs f while another goroutine is inside an Update of the key.
func holding(t *testing.T, s tokenstore.Store, key string, f func()) {
	t.Helper()
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- s.Update(context.Background(), key, func(context.Context, []byte) ([]byte, error) {
			close(entered)
			<-leave
			return []byte("held"), nil
		})
	}()
	<-entered
	f()
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("Update that held the key: %v", err)
	}
}

func TestStoreWaitObeysContext(t *testing.T) {
	each(t, func(t *testing.T, s tokenstore.Store) {
		mustPut(t, s, "k", "old")
		holding(t, s, "k", func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			if err := s.Update(ctx, "k", neverNext(t)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Update of a held key = %v, want DeadlineExceeded", err)
			}
			if err := s.Delete(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Delete of a held key = %v, want DeadlineExceeded", err)
			}
			wantRecord(t, s, "k", "old") // Load does not wait
			mustPut(t, s, "other", "x")  // nor does another key
		})
		wantRecord(t, s, "k", "held")
	})
}

func TestStoreContextOver(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	each(t, func(t *testing.T, s tokenstore.Store) {
		for range 20 { // a free key and a context that is over are an even choice
			if err := s.Update(ctx, "k", neverNext(t)); !errors.Is(err, context.Canceled) {
				t.Errorf("Update = %v, want Canceled", err)
			}
		}
	})
}

// The record may be the only copy of a refresh token, so the end of the
// caller's context neither reaches next nor keeps its record from being saved.
func TestStoreSavesAfterContext(t *testing.T) {
	type keyOf struct{}
	each(t, func(t *testing.T, s tokenstore.Store) {
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), keyOf{}, "value"))
		err := s.Update(ctx, "k", func(inner context.Context, _ []byte) ([]byte, error) {
			cancel()
			if inner.Err() != nil || inner.Value(keyOf{}) != "value" {
				t.Errorf("next's context: error %v, value %v", inner.Err(), inner.Value(keyOf{}))
			}
			return []byte("new"), nil
		})
		if err != nil {
			t.Errorf("Update = %v, want nil", err)
		}
		wantRecord(t, s, "k", "new")
	})
}

func TestStorePanicFreesKey(t *testing.T) {
	ends := map[string]func(){"panic": func() { panic("next") }, "Goexit": runtime.Goexit}
	each(t, func(t *testing.T, s tokenstore.Store) {
		mustPut(t, s, "k", "old")
		for name, end := range ends {
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { recover() }()
				s.Update(context.Background(), "k", func(context.Context, []byte) ([]byte, error) { end(); return nil, nil })
			}()
			<-done
			wantRecord(t, s, "k", "old")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := s.Update(ctx, "k", put("old")); err != nil {
				t.Errorf("Update after %s: %v", name, err)
			}
			cancel()
		}
	})
}
