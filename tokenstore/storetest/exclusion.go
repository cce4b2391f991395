package storetest

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// exclusionCases are about calls at the same time, in one process.
var exclusionCases = []testCase{{
	name: "updates-exclude",
	rule: "While the function of an Update runs, that of no other Update of the key does, however many wait, and each gets what the one before wrote. " +
		"Two at once send the same refresh token twice, and servers take that for theft and end the session.",
	run: updatesExclude,
}, {
	name: "first-updates-exclude",
	rule: "Updates of a key exclude each other also where there is no record yet. " +
		"SELECT … FOR UPDATE locks nothing where there is no row: insert one first, or lock something else.",
	run: firstUpdatesExclude,
}, {
	name: "other-keys",
	rule: "An Update does not wait for that of another key, nor does a Delete: its function may wait for a server, and one server that hangs must not stop all sessions.",
	run:  otherKeys,
}, {
	name: "load-does-not-wait",
	rule: "Load does not wait for an Update, and returns the record as it was: while a token is refreshed, the old one still serves.",
	run:  loadDoesNotWait,
}, {
	name: "delete-waits",
	rule: "Delete waits until no Update of the key runs, as long as its context lasts; the error Is that of the context. " +
		"Otherwise that Update writes the record again, and a user who has logged out is logged in.",
	run: deleteWaits,
}, {
	name: "delete-between",
	rule: "An Update that meets a Delete of its key gets the record of before or none, and does not fail. " +
		"Where one statement makes the row and the next one locks it, a Delete in between leaves no row to lock: use one statement, or try again.",
	run: deleteBetween,
}, {
	name: "panic",
	rule: "When the function of an Update panics, the key is free, and the record as it was. Free it in a deferred call.",
	run:  func(c *check) { abrupt(c, func() { panic("of the function") }) },
}, {
	name: "goexit",
	rule: "When the function of an Update calls runtime.Goexit, as t.FailNow does, the key is free, and the record as it was. " +
		"Free it in a deferred call; recover returns nil here.",
	run: func(c *check) { abrupt(c, runtime.Goexit) },
}, {
	name: "linearizable",
	rule: "Load returns what the last Update that returned before it began has written, or something newer that is written already, and never goes back. " +
		"Caches, replicas and Loads that share the answer of an earlier one return what is older.",
	run: linearizable,
}}

func updatesExclude(c *check) {
	const workers, times = 8, 12
	c.put("k", "0")
	var running atomic.Int32
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range times {
				err := c.store.Update(c.Context(), "k", func(ctx context.Context, old []byte) ([]byte, error) {
					if n := running.Add(1); n != 1 {
						c.Errorf("%d functions of Updates run at once", n)
					}
					defer running.Add(-1)
					runtime.Gosched()
					return increment(ctx, old)
				})
				if err != nil {
					c.Errorf("Update = %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if !c.Failed() {
		c.want("k", strconv.Itoa(workers*times))
	}
}

func firstUpdatesExclude(c *check) {
	for i := range 3 {
		key := "k" + strconv.Itoa(i)
		release := c.hold(key, "first")
		var released atomic.Bool
		done := make(chan error, 1)
		go func() {
			done <- c.store.Update(c.Context(), key, func(_ context.Context, old []byte) ([]byte, error) {
				if !released.Load() {
					c.Errorf("two functions of Updates of a key without a record run at once")
				} else if string(old) != "first" {
					c.Errorf("the function got %s, want what the Update before it wrote", shown(old))
				}
				return []byte("second"), nil
			})
		}()
		time.Sleep(longWait) // in which a store that does not wait shows it
		released.Store(true)
		if err := errors.Join(release(), <-done); err != nil {
			c.Errorf("Update = %v", err)
		}
		if c.Failed() {
			return
		}
		c.want(key, "second")
	}
}

func otherKeys(c *check) {
	c.put("other", "old")
	release := c.hold("k", "held")
	c.put("other", "new")
	c.want("other", "new")
	c.put("first", "new")
	c.delete("other")
	c.mustRelease(release)
}

func loadDoesNotWait(c *check) {
	c.put("k", "old")
	release := c.hold("k", "held")
	c.want("k", "old")
	c.mustRelease(release)
	c.want("k", "held")
	release = c.hold("none", "held")
	c.wantNone("none")
	c.mustRelease(release)
}

func deleteWaits(c *check) {
	c.put("k", "old")
	release := c.hold("k", "held")
	ctx, cancel := context.WithTimeout(c.Context(), longWait)
	defer cancel()
	if err := c.store.Delete(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
		c.Fatalf("Delete of a key that is held = %v, want an error that Is context.DeadlineExceeded", err)
	}
	done := make(chan error, 1)
	go func() { done <- c.store.Delete(c.Context(), "k") }()
	select {
	case err := <-done:
		c.Fatalf("Delete of a key that is held = %v, and did not wait", err)
	case <-time.After(longWait):
	}
	c.mustRelease(release)
	if err := <-done; err != nil {
		c.Fatalf("Delete of a key that is free again = %v, want nil", err)
	}
	c.wantNone("k")
}

func deleteBetween(c *check) {
	const times = 40
	var deleting sync.WaitGroup
	var over atomic.Bool
	deleting.Go(func() {
		for ; !over.Load(); time.Sleep(readPause) {
			if err := c.store.Delete(c.Context(), "k"); errors.Is(err, errHangs) {
				return
			}
		}
	})
	for range times {
		err := c.store.Update(c.Context(), "k", func(_ context.Context, old []byte) ([]byte, error) {
			if len(old) > 0 && string(old) != "x" {
				c.Errorf("the function got %s, which nobody has written", shown(old))
			}
			return []byte("x"), nil
		})
		if err != nil {
			c.Errorf("Update = %v, beside a Delete", err)
			break
		}
	}
	over.Store(true)
	deleting.Wait()
}

// abrupt checks what is left of an Update whose function does not return.
func abrupt(c *check, end func()) {
	store := c.store.(*bounded).store // so that what end does is done in this goroutine
	c.put("k", "old")
	for _, key := range []string{"k", "none"} {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer func() { recover() }()
			store.Update(context.Background(), key, func(context.Context, []byte) ([]byte, error) {
				end()
				return nil, tokenstore.ErrUnchanged
			})
		}()
		select {
		case <-ended:
		case <-time.After(patience):
			c.hung.Store(true)
			c.Fatalf("Update has not returned %v after its function ended", patience)
		}
		ctx, cancel := context.WithTimeout(c.Context(), patience)
		defer cancel()
		var old []byte
		if err := c.store.Update(ctx, key, see(&old)); err != nil {
			c.Fatalf("Update after one whose function did not return = %v: the key is not free", err)
		}
	}
	c.want("k", "old")
	c.wantNone("none")
}

// increment is a function for Update: the record is the number of times that it
// was called.
func increment(_ context.Context, old []byte) ([]byte, error) {
	n, err := strconv.Atoi(string(old))
	if err != nil && len(old) > 0 {
		return nil, err
	}
	return strconv.AppendInt(nil, int64(n)+1, 10), nil
}
