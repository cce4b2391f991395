package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// This is what a process does that strace looks at.

func init() { helpers["traced"] = underTrace }

const oldRecord = "old"

// newRecord is longer than what is reserved for it.
var newRecord = strings.Repeat("new ", 6000)

// mark leaves a line in the trace.
func mark(what string) { os.Lstat("/freshet-mark-" + what) }

// ops are what a traced process does, once.
var ops = map[string]func(ctx context.Context, dir tokenstore.Dir) error{
	"first":  putNew,
	"update": putNew,
	"short":  func(ctx context.Context, dir tokenstore.Dir) error { return dir.Update(ctx, "k", put("n")) },
	"unchanged": func(ctx context.Context, dir tokenstore.Dir) error {
		return dir.Update(ctx, "k", func(context.Context, []byte) ([]byte, error) {
			mark("next")
			return nil, tokenstore.ErrUnchanged
		})
	},
	"delete": func(ctx context.Context, dir tokenstore.Dir) error { return dir.Delete(ctx, "k") },
	"load": func(ctx context.Context, dir tokenstore.Dir) error {
		record, err := dir.Load(ctx, "k")
		if err == nil && string(record) != oldRecord {
			return fmt.Errorf("loaded %q", record)
		}
		return err
	},
	"keys": func(ctx context.Context, dir tokenstore.Dir) error {
		for _, err := range dir.Keys(ctx) {
			if err != nil {
				return err
			}
		}
		return nil
	},
}

func putNew(ctx context.Context, dir tokenstore.Dir) error {
	return dir.Update(ctx, "k", func(context.Context, []byte) ([]byte, error) {
		mark("next")
		return []byte(newRecord), nil
	})
}

// underTrace does the operation that arg names, within the time that it names,
// and prints the errno that the error has or 0, whether the error is one that
// programs can tell, how many descriptors are left open, whether another Update
// in the same process then works, and the error.
//
// strace counts the calls of each thread. All run in the main thread, but for
// taking the lock. So that a number means one thread only, either the main
// thread is ahead of the others in the calls that both make, or they of it.
func underTrace(dir tokenstore.Dir, arg string) error {
	var op, timeout, ahead string
	if _, err := fmt.Sscan(arg, &op, &timeout, &ahead); err != nil {
		return err
	}
	wait, err := time.ParseDuration(timeout)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if ahead == "main" {
		getAhead()
	} else {
		othersGetAhead()
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	mark("begin")
	err = ops[op](ctx, dir)
	mark("end")
	var errno syscall.Errno
	errors.As(err, &errno)
	again := errors.New("not yet")
	later, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for range 4 { // a thread of which the fault is still to come may take the lock
		if again != nil {
			again = dir.Update(later, "k", func(context.Context, []byte) ([]byte, error) { return nil, tokenstore.ErrUnchanged })
		}
	}
	open := openBelow(string(dir))
	for end := time.Now().Add(3 * time.Second); open > 0 && time.Now().Before(end); open = openBelow(string(dir)) {
		time.Sleep(20 * time.Millisecond) // a try that is still delayed has its file open, and closes it
	}
	fmt.Printf("%d %t %d %t %v", int(errno), isTyped(err), open, again == nil, err)
	return nil
}

// openBelow returns how many descriptors this process has of files in dir.
func openBelow(dir string) (n int) {
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if name, _ := os.Readlink(fd); strings.HasPrefix(name, dir) {
			n++
		}
	}
	return n
}

func getAhead() {
	for range 60 {
		syscall.Open("/freshet-mark-none", syscall.O_RDONLY, 0)
		syscall.Flock(-1, syscall.LOCK_UN)
	}
}

// othersGetAhead makes some threads, which stay, and gets each ahead.
func othersGetAhead() {
	var all, done sync.WaitGroup
	all.Add(3)
	for range 3 {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			getAhead()
			all.Done()
			all.Wait() // so that each has a thread of its own
		})
	}
	done.Wait()
}

func isTyped(err error) bool {
	var errno syscall.Errno
	for _, target := range []error{tokenstore.ErrConflict, tokenstore.ErrInsecure, tokenstore.ErrNotFound, tokenstore.ErrCorrupt,
		context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, target) {
			return true
		}
	}
	return errors.As(err, &errno)
}
