package tokenstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func init() { lockRemoved["removed before it was locked"] = testStaleLock }

// testStaleLock has a process open a lock file and take its time to lock it.
// Meanwhile that file is removed, and another one made and locked.
func testStaleLock(t *testing.T) {
	tr := newTracer(t)
	dir := tr.newDir(t, "first")
	late := make(chan trace)
	go func() { late <- tr.runIn(t, dir, "first", "3s", "main", "flock:delay_enter=1500000:when=1") }()
	lock := filepath.Join(string(dir), "k.lock")
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if err := os.Remove(lock); err == nil {
			break
		} else if time.Since(began) > 30*time.Second {
			t.Fatalf("there is no lock file: %v", err)
		}
	}
	var got trace
	err := dir.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) {
		got = <-late
		return []byte("mine"), nil
	})
	if err != nil {
		t.Errorf("Update: %v", err)
	}
	want := "0 true 0 false tokenstore: " // and what it says of the new lock, or of a try that is still delayed
	says := strings.Contains(got.out, fmt.Sprintf("waited for %s, held by process %d: ", lock, os.Getpid())) || strings.Contains(got.out, "can't lock "+lock)
	if got.index(got.begin, "flock", ") = 0", "(DELAYED)") < 0 || !strings.HasPrefix(got.out, want) || !says || got.next > 0 {
		t.Errorf("the other process locked a file that was removed, and says %s; called: %t", got.out, got.next > 0)
	}
	wantRecord(t, dir, "k", "mine")
}

func TestRule075_no_lock_no_update(t *testing.T) {
	t.Parallel() // it mostly waits
	tr := newTracer(t)
	for _, errno := range []syscall.Errno{syscall.ENOLCK, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EIO} {
		t.Run(errno.Error(), func(t *testing.T) {
			for _, op := range []string{"update", "first", "delete"} {
				got := tr.run(t, op, "10s", "main", fmt.Sprintf("flock:error=%d", int(errno)))
				want := fmt.Sprintf("%d true 0 false tokenstore: can't lock %s/k.lock: ", int(errno), got.dir)
				if got.index(got.begin, "flock", "(INJECTED)") < 0 || !strings.HasPrefix(got.out, want) || got.next > 0 {
					t.Errorf("%s: %s; called: %t; want %s", op, got.out, got.next > 0, want)
				}
				if op != "first" {
					wantRecord(t, got.dir, "k", oldRecord)
				}
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		got := tr.run(t, "update", "10s", "main", "flock:error=EINTR:when=1..5")
		locked := got.index(got.begin, "flock", "LOCK_EX|LOCK_NB) = 0")
		if got.index(got.begin, "flock", "(INJECTED)") < 0 || locked < 0 || locked > got.next || got.out != "0 false 0 true <nil>" {
			t.Errorf("Update = %s", got.out)
		}
		wantRecord(t, got.dir, "k", newRecord)
	})
	t.Run("hangs", func(t *testing.T) {
		c := tr.clean(t, "update")
		n := c.main.index(c.main.begin, "flock") - c.main.begin
		got, ok := tr.inject(t, c, n, "50ms", "delay_enter=400000", "")
		if !ok {
			return
		}
		// The lock that comes in the end is given back, so that another Update works.
		if !strings.HasPrefix(got.out, "0 true 0 true ") || !strings.Contains(got.out, "file system does not answer") ||
			!strings.HasSuffix(got.out, "context deadline exceeded") || got.next > 0 {
			t.Errorf("Update = %s; called: %t", got.out, got.next > 0)
		}
		wantRecord(t, got.dir, "k", oldRecord)
	})
}
