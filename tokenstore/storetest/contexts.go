package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// contextCases are about the context that Update gets, and the one that it gives.
var contextCases = []testCase{{
	name: "context-over",
	rule: "When its context is over before the key is free, Update does not call its function, and its error Is that of the context. " +
		"A key that is free and a context that is over at once are an even choice to select: ask ctx.Err() first.",
	run: contextOver,
}, {
	name: "context-of-next",
	rule: "The context that Update gives its function has the values of the caller's and does not end with it, " +
		"because the function may have sent a refresh token that can be used once. It ends only when the exclusion may end. See context.WithoutCancel.",
	run: contextOfNext,
}, {
	name: "saves-after-context",
	rule: "When the caller's context ends while its function runs, Update still writes what that returns, and returns nil once it is written: " +
		"the record may be the only copy of a refresh token. " +
		"Stores over SQL get this wrong more often than anything else, because a transaction that was begun with a context is rolled back when that ends: " +
		"begin it with context.WithoutCancel(ctx), give that to every statement after the function too, and the caller's context only to the statement that waits for the row.",
	run: savesAfterContext,
}, {
	name: "wait-ends",
	rule: "An Update that waits for another one ends with its context, without calling its function, and its error Is that of the context. " +
		"It leaves the one that holds the key alone, and nothing behind that keeps the key from others. " +
		"Where a driver or a lock has an error of its own for that, join it with ctx.Err().",
	run: waitEnds,
}}

func contextOver(c *check) {
	c.put("k", "old")
	cancelled, cancel := context.WithCancel(c.Context())
	cancel()
	expired, cancel := context.WithDeadline(c.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for range 20 { // for what is an even choice
		for _, ctx := range []context.Context{cancelled, expired} {
			if err := c.store.Update(ctx, "k", c.never()); !errors.Is(err, ctx.Err()) {
				c.Fatalf("Update = %v, want an error that Is %v", err, ctx.Err())
			}
		}
	}
	c.want("k", "old")
}

func contextOfNext(c *check) {
	type keyOf struct{}
	ctx, cancel := context.WithCancel(context.WithValue(c.Context(), keyOf{}, "value"))
	defer cancel()
	err := c.store.Update(ctx, "k", func(inner context.Context, _ []byte) ([]byte, error) {
		if got := inner.Value(keyOf{}); got != "value" {
			c.Errorf("the context of the function has the value %v, want that of the caller's context", got)
		}
		cancel()
		select {
		case <-inner.Done():
			c.Errorf("the context of the function ended with the caller's: %v", context.Cause(inner))
		case <-time.After(longWait):
		}
		return nil, tokenstore.ErrUnchanged
	})
	if err != nil {
		c.Logf("Update = %v", err) // the case "saves-after-context" is about that
	}
}

func savesAfterContext(c *check) {
	c.put("k", "old")
	for _, key := range []string{"k", "none"} {
		ctx, cancel := context.WithCancel(c.Context())
		err := c.store.Update(ctx, key, func(context.Context, []byte) ([]byte, error) {
			cancel()
			time.Sleep(longWait) // in which whoever watches the context takes note
			return []byte("new"), nil
		})
		if err != nil {
			c.Errorf("Update = %v, want nil though its context was over when the function returned", err)
		}
		if got, err := c.store.Load(c.Context(), key); err != nil || string(got) != "new" {
			c.Errorf("Load = %s, %v; the record that the function had returned is lost", shown(got), err)
		}
	}
}

func waitEnds(c *check) {
	c.put("k", "old")
	release := c.hold("k", "held")
	for range 3 {
		expires, cancel := context.WithTimeout(c.Context(), longWait)
		if err := c.store.Update(expires, "k", c.never()); !errors.Is(err, context.DeadlineExceeded) {
			c.Errorf("Update of a key that is held = %v, want an error that Is context.DeadlineExceeded", err)
		}
		cancel()
		cancelled, cancel := context.WithCancel(c.Context())
		time.AfterFunc(longWait, cancel)
		if err := c.store.Update(cancelled, "k", c.never()); !errors.Is(err, context.Canceled) {
			c.Errorf("Update of a key that is held = %v, want an error that Is context.Canceled", err)
		}
		if c.Failed() {
			return
		}
	}
	c.mustRelease(release)
	c.want("k", "held")
	c.put("k", "next")
	c.want("k", "next")
}
