// Package keylock is a mutex for each key, within one process.
package keylock

import (
	"context"
	"sync"
)

// Locks has a mutex for each key. The zero value is ready, and a key that nobody
// holds or waits for takes no memory. Locks is safe for concurrent use and must
// not be copied.
type Locks struct {
	mu   sync.Mutex // guards keys and the users of each
	keys map[string]*lock
}

type lock struct {
	held  chan struct{} // has room for its one holder; a channel, so that a wait can end with a context
	users int           // the holder and those who wait
}

// Lock waits until key is free or ctx is over; the error is that of ctx.
// Holders follow each other in the order in which they came.
func (l *Locks) Lock(ctx context.Context, key string) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k := l.join(key)
	select {
	case k.held <- struct{}{}:
		return func() { <-k.held; l.leave(key, k) }, nil
	case <-ctx.Done():
		l.leave(key, k)
		return nil, ctx.Err()
	}
}

func (l *Locks) join(key string) *lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.keys[key]
	if k == nil {
		if l.keys == nil {
			l.keys = make(map[string]*lock)
		}
		k = &lock{held: make(chan struct{}, 1)}
		l.keys[key] = k
	}
	k.users++
	return k
}

func (l *Locks) leave(key string, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.keys, key)
	}
}
