package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// keyLocks is a mutex for each key, within this process. The zero value is
// ready, and a key that nobody holds or waits for takes no memory.
type keyLocks struct {
	mu   sync.Mutex // guards keys and the users of each
	keys map[string]*keyLock
}

type keyLock struct {
	held  chan struct{} // has room for its one holder; a channel, so that a wait can end with a context
	users int           // the holder and those who wait
}

// lock waits until key is free or ctx is over; the error is that of ctx.
// Holders follow each other in the order in which they came.
func (l *keyLocks) lock(ctx context.Context, key string) (unlock func(), err error) {
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

func (l *keyLocks) join(key string) *keyLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.keys[key]
	if k == nil {
		if l.keys == nil {
			l.keys = make(map[string]*keyLock)
		}
		k = &keyLock{held: make(chan struct{}, 1)}
		l.keys[key] = k
	}
	k.users++
	return k
}

func (l *keyLocks) leave(key string, k *keyLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.keys, key)
	}
}

// The pauses between two tries to save a record: from the first they double up
// to the last.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// persist calls save until the record is durable, the exclusion is lost
// ([ErrConflict]) or ctx is over, but always once. The caller holds the
// exclusion all the while.
func persist(ctx context.Context, save func() error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := save()
		if err == nil || errors.Is(err, ErrConflict) {
			return err
		}
		if over := sleep(ctx, pause); over != nil {
			return fmt.Errorf("tokenstore: record not saved: %w (given up: %w)", err, over)
		}
	}
}

// sleep returns the error of ctx if that is over before d has passed.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return ctx.Err()
}

// result sorts out what next returned: a record that can be written, or what
// Update returns instead of writing one.
func result(record []byte, err error) (write bool, _ error) {
	switch {
	case errors.Is(err, ErrUnchanged):
		return false, nil
	case err != nil:
		return false, err
	case len(record) > MaxRecord:
		return false, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(record))
	}
	return true, nil
}
