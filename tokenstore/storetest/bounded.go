package storetest

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// A bounded is a store whose methods return: when one hangs, the test has
// failed, and goes on.
type bounded struct {
	t interface {
		Errorf(format string, args ...any)
	}
	store tokenstore.Store
	limit time.Duration // how long a method may take
	hung  *atomic.Bool  // one has taken longer; the others fail at once
}

func (b *bounded) Load(ctx context.Context, key string) ([]byte, error) {
	type loaded struct {
		record []byte
		err    error
	}
	l, ok := within(b, "Load", func() loaded {
		record, err := b.store.Load(ctx, key)
		return loaded{record, err}
	})
	if !ok {
		return nil, errHangs
	}
	return l.record, l.err
}

func (b *bounded) Update(ctx context.Context, key string, f next) error {
	err, ok := within(b, "Update", func() error { return b.store.Update(ctx, key, f) })
	if !ok {
		return errHangs
	}
	return err
}

func (b *bounded) Delete(ctx context.Context, key string) error {
	err, ok := within(b, "Delete", func() error { return b.store.Delete(ctx, key) })
	if !ok {
		return errHangs
	}
	return err
}

// Keys is there for every store; see [tokenstore.Keys].
func (b *bounded) Keys(ctx context.Context) iter.Seq2[string, error] {
	return tokenstore.Keys(ctx, b.store)
}

// within returns what f does, or false if f has not returned in time.
func within[T any](b *bounded, what string, f func() T) (result T, ok bool) {
	if b.hung.Load() {
		return result, false
	}
	done := make(chan T, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(b.limit)
	defer timer.Stop()
	select {
	case result = <-done:
		return result, true
	case <-timer.C:
		b.hung.Store(true)
		b.t.Errorf("%s has not returned after %v", what, b.limit)
		return result, false
	}
}
