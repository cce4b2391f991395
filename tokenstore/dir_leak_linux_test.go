package tokenstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// An Update that fails, for whatever reason, leaves no file open and no
// goroutine running.
func TestDirFailuresLeaveNothing(t *testing.T) {
	dir := newDir(t)
	mustPut(t, dir, "k", "old")
	record, lock := filepath.Join(string(dir), "k.json"), filepath.Join(string(dir), "k.lock")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	goroutines := runtime.NumGoroutine()
	storm := func(what string, ctx context.Context, next func(context.Context, []byte) ([]byte, error)) {
		t.Helper()
		for range 100 {
			func() {
				defer func() { recover() }()
				if err := dir.Update(ctx, "k", next); err == nil {
					t.Errorf("%s: Update = nil", what)
				}
			}()
		}
		if n := openBelow(string(dir)); n > 0 {
			t.Errorf("%s: %d files are open", what, n)
		}
	}
	storm("context over", over, neverNext(t))
	storm("panic", t.Context(), func(context.Context, []byte) ([]byte, error) { panic("next") })
	storm("conflict", t.Context(), func(context.Context, []byte) ([]byte, error) {
		return []byte("new"), os.WriteFile(record, []byte(time.Now().String()), 0o600)
	})
	storm("lock lost", t.Context(), func(context.Context, []byte) ([]byte, error) { return []byte("new"), os.Remove(lock) })
	held := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		defer cancel()
		return dir.Update(ctx, "held", neverNext(t))
	}
	start(t, "hold", dir, "held").line(t)
	for range 10 {
		if err := held(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("held by another process: Update = %v", err)
		}
	}
	if n := openBelow(string(dir)); n > 0 {
		t.Errorf("held by another process: %d files are open", n)
	}
	for what, plant := range plant {
		t.Run(what, func(t *testing.T) {
			for _, path := range []string{record, lock} {
				os.Remove(path)
				if err := plant(t, path); err != nil {
					t.Fatal(err)
				}
				storm(filepath.Base(path), t.Context(), neverNext(t))
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	for began := time.Now(); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%d goroutines, and %d before", runtime.NumGoroutine(), goroutines)
		}
	}
}
