package storetest_test

import (
	"context"
	"sync"

	"github.com/freshet-go/freshet/tokenstore"
)

type next = func(ctx context.Context, old []byte) ([]byte, error)

// changed is a store with some methods of its own.
type changed struct {
	tokenstore.Store
	load   func(ctx context.Context, key string) ([]byte, error)
	update func(ctx context.Context, key string, f next) error
	remove func(ctx context.Context, key string) error
}

func (c *changed) Load(ctx context.Context, key string) ([]byte, error) {
	if c.load != nil {
		return c.load(ctx, key)
	}
	return c.Store.Load(ctx, key)
}

func (c *changed) Update(ctx context.Context, key string, f next) error {
	if c.update != nil {
		return c.update(ctx, key, f)
	}
	return c.Store.Update(ctx, key, f)
}

func (c *changed) Delete(ctx context.Context, key string) error {
	if c.remove != nil {
		return c.remove(ctx, key)
	}
	return c.Store.Delete(ctx, key)
}

// A locker gives the key to one caller after the other.
type locker func(ctx context.Context, key string) (unlock func(), err error)

// locked is a whole store of a lock and of something that reads and writes.
type locked struct {
	tokenstore.Store
	lock locker
}

func (l locked) Update(ctx context.Context, key string, f next) error {
	unlock, err := l.take(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	return l.change(ctx, key, f)
}

// change does what an Update does that has the key.
func (l locked) change(ctx context.Context, key string, f next) error {
	ctx = context.WithoutCancel(ctx)
	old, err := l.Load(ctx, key)
	if err != nil {
		old = nil
	}
	record, err := f(ctx, old)
	return l.Store.Update(ctx, key, func(context.Context, []byte) ([]byte, error) { return record, err })
}

func (l locked) Delete(ctx context.Context, key string) error {
	unlock, err := l.take(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	return l.Store.Delete(ctx, key)
}

func (l locked) take(ctx context.Context, key string) (unlock func(), err error) {
	if err := tokenstore.CheckKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.lock(ctx, key)
}

// lockIn is a locker that uses the exclusion of a store.
func lockIn(s tokenstore.Store) locker {
	return func(ctx context.Context, key string) (unlock func(), err error) {
		held, leave, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			done <- s.Update(ctx, key, func(context.Context, []byte) ([]byte, error) {
				close(held)
				<-leave
				return nil, tokenstore.ErrUnchanged
			})
		}()
		select {
		case <-held:
			return sync.OnceFunc(func() { close(leave); <-done }), nil
		case err := <-done:
			return nil, err
		}
	}
}

// both takes one lock and then the other.
func both(first, second locker) locker {
	return func(ctx context.Context, key string) (unlock func(), err error) {
		unlockFirst, err := first(ctx, key)
		if err != nil {
			return nil, err
		}
		unlockSecond, err := second(ctx, key)
		if err != nil {
			unlockFirst()
			return nil, err
		}
		return func() { unlockSecond(); unlockFirst() }, nil
	}
}
