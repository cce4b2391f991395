package tokenstore

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/freshet-go/freshet/tokenstore/internal/keylock"
)

// Memory is a [Store] that lasts as long as the process: for tests, for
// programs that log in at every start, and for tokens that are cheap to get.
//
// The zero value is empty and ready. It must not be copied. Records are copied
// on their way in and out. It starts no goroutine, and its waits are durable
// ones to testing/synctest.
type Memory struct {
	updates keylock.Locks

	mu      sync.RWMutex      // guards records; never held while next runs
	records map[string]Secret // which fmt can't print, wherever it finds a Memory
}

// Load implements [Store]. It does not wait for an Update.
func (m *Memory) Load(ctx context.Context, key string) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	record, found := m.get(key)
	if !found {
		return nil, ErrNotFound
	}
	return record, nil
}

// Update implements [Store]. The exclusion lasts until next returns, so the
// context that next gets never ends; it has the values of ctx. An Update or
// Delete of the same key inside next waits for itself, until its own context
// is over.
func (m *Memory) Update(ctx context.Context, key string, next func(ctx context.Context, old []byte) ([]byte, error)) error {
	unlock, err := m.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	old, _ := m.get(key)
	record, err := next(context.WithoutCancel(ctx), old)
	if write, err := result(record, err); !write {
		return err
	}
	m.set(key, record)
	return nil
}

// Delete implements [Store]. It waits for an Update of the key.
func (m *Memory) Delete(ctx context.Context, key string) error {
	unlock, err := m.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, key)
	return nil
}

// Keys returns the keys that there are when the sequence begins; see [Keys].
func (m *Memory) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		m.mu.RLock()
		keys := slices.Collect(maps.Keys(m.records))
		m.mu.RUnlock()
		for _, key := range keys {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			if !yield(key, nil) {
				return
			}
		}
	}
}

func (m *Memory) lock(ctx context.Context, key string) (unlock func(), err error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	unlock, err = m.updates.Lock(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("tokenstore: waiting for key %q: %w", key, err)
	}
	return unlock, nil
}

func (m *Memory) get(key string) (record []byte, found bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	kept, found := m.records[key]
	if !found {
		return nil, false
	}
	return []byte(kept.Reveal()), true
}

func (m *Memory) set(key string, record []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records == nil {
		m.records = make(map[string]Secret)
	}
	m.records[key] = NewSecret(string(record))
}
