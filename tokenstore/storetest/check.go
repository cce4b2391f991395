package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// patience is how long a method of a store may take that has nothing to wait
// for, and longWait how long a case waits to see that somebody else waits. No
// store fails because a machine is slow, unless it is slower than patience.
var (
	patience = 15 * time.Second
	longWait = 50 * time.Millisecond
)

var errHangs = errors.New("storetest: the store hangs")

// A check is one case at work on one place.
type check struct {
	*testing.T
	cfg   Config
	place string
	store tokenstore.Store // over place

	test string // the name of the test that called Run
	name string // of the case

	hung atomic.Bool // a method has not returned

	mu   sync.Mutex // guards over
	over bool
}

// Errorf is that of T, and does nothing once the case is over: a store that
// hangs may come back then, which is too late for T.
func (c *check) Errorf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.Helper()
		c.T.Errorf(format, args...)
	}
}

func (c *check) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

// open returns one more store over the place.
func (c *check) open() tokenstore.Store {
	c.Helper()
	s := c.cfg.Open(c.T, c.place)
	if s == nil {
		c.Fatal("Config.Open returned nil")
	}
	return &bounded{c, s, patience + c.cfg.takeover(), &c.hung}
}

// put makes record the record under key.
func (c *check) put(key, record string) {
	c.Helper()
	putIn(c, c.store, key, record)
}

func putIn(c *check, s tokenstore.Store, key, record string) {
	c.Helper()
	if err := s.Update(c.Context(), key, give(record)); err != nil {
		c.Fatalf("Update(%.60q) = %v, want nil", key, err)
	}
}

// want checks the record under key.
func (c *check) want(key, want string) {
	c.Helper()
	wantIn(c, c.store, key, want)
}

func wantIn(c *check, s tokenstore.Store, key, want string) {
	c.Helper()
	got, err := s.Load(c.Context(), key)
	if err != nil {
		c.Fatalf("Load(%.60q) = %v, want a record", key, err)
	}
	if string(got) != want {
		c.Fatalf("Load(%.60q) = %s, want %s", key, shown(got), shown([]byte(want)))
	}
}

// wantNone checks that there is no record. Which error says so is the business
// of one case only.
func (c *check) wantNone(key string) {
	c.Helper()
	if got, err := c.store.Load(c.Context(), key); err == nil {
		c.Fatalf("Load(%.60q) = %s, want no record", key, shown(got))
	}
}

// delete removes the record under key.
func (c *check) delete(key string) {
	c.Helper()
	if err := c.store.Delete(c.Context(), key); err != nil {
		c.Fatalf("Delete(%.60q) = %v, want nil", key, err)
	}
}

// give returns a function for Update that makes record the record.
func give(record string) next {
	return func(context.Context, []byte) ([]byte, error) { return []byte(record), nil }
}

// see returns one that stores in old what it gets, and leaves the record as it
// is.
func see(old *[]byte) next {
	return func(_ context.Context, got []byte) ([]byte, error) {
		*old = slices.Clone(got)
		return nil, tokenstore.ErrUnchanged
	}
}

// never returns one for an Update that must fail before it.
func (c *check) never() next {
	return func(context.Context, []byte) ([]byte, error) {
		c.Errorf("the function given to Update was called")
		return nil, tokenstore.ErrUnchanged
	}
}

type next = func(ctx context.Context, old []byte) ([]byte, error)

// hold begins an Update of key that stays inside its function until release is
// called, and then makes record the record. release returns what Update did.
func (c *check) hold(key, record string) (release func() error) {
	c.Helper()
	var once sync.Once // a store may call its function again
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- c.store.Update(context.Background(), key, func(context.Context, []byte) ([]byte, error) {
			once.Do(func() { close(entered) })
			<-leave
			return []byte(record), nil
		})
	}()
	select {
	case <-entered:
	case err := <-done:
		c.Fatalf("Update(%q) = %v without calling its function", key, err)
	}
	left := false
	release = func() error {
		if left {
			return nil
		}
		left = true
		close(leave)
		return <-done
	}
	c.Cleanup(func() { release() })
	return release
}

// mustRelease releases a key; that Update must succeed.
func (c *check) mustRelease(release func() error) {
	c.Helper()
	if err := release(); err != nil {
		c.Fatalf("the Update that held the key = %v, want nil", err)
	}
}

// shown is what a message shows of a record.
func shown(record []byte) string {
	const most = 60
	switch {
	case record == nil:
		return "nil"
	case len(record) <= most:
		return fmt.Sprintf("%q", record)
	}
	return fmt.Sprintf("%q… (%d bytes)", record[:most], len(record))
}
