package tokenstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/freshet-go/freshet/tokenstore/internal/keylock"
)

// Funcs makes a [Store] of closures, for one process: Updates of a key exclude
// each other within one Funcs. Two Funcs over the same place do not exclude
// each other, nor do two processes; a place that several processes share needs
// a Store of its own, whose Update excludes them all.
//
// A Funcs must not be copied or changed once it is in use. It is safe for
// concurrent use if its closures are; different keys are used concurrently. A
// method whose closure is nil returns an error that is
// [errors.ErrUnsupported]; Update needs both LoadFunc and SaveFunc, and says so
// before it calls next. Other errors of the closures are returned as they are,
// except for those of SaveFunc, which are wrapped. A closure that panics leaves
// the key free.
type Funcs struct {
	// LoadFunc returns the record under key. It returns ErrNotFound, or nil
	// bytes and no error, if there is none. The bytes are copied.
	LoadFunc func(ctx context.Context, key string) ([]byte, error)

	// SaveFunc writes the record, which is SaveFunc's to keep. It returns nil
	// once the record is durable, and ErrConflict to say that nothing was
	// written and that trying again would not help. After any other error it is
	// called again, 100 ms later and with pauses that double up to 5 s, until
	// the context of Update is over.
	//
	// Its own context does not end with that of Update, which may be over
	// already: the record may be the only copy of a refresh token. It ends 10
	// seconds after the call.
	SaveFunc func(ctx context.Context, key string, record []byte) error

	// DeleteFunc removes the record under key. Nothing there is no error.
	DeleteFunc func(ctx context.Context, key string) error

	// KeysFunc returns the keys; see [Keys].
	KeysFunc func(ctx context.Context) iter.Seq2[string, error]

	updates keylock.Locks
}

// saveTimeout bounds one call of a SaveFunc, so that one which hangs with its
// database is tried again.
const saveTimeout = 10 * time.Second

// Load implements [Store].
func (f *Funcs) Load(ctx context.Context, key string) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if f.LoadFunc == nil {
		return nil, missing("LoadFunc")
	}
	record, err := f.LoadFunc(ctx, key)
	switch {
	case err != nil:
		return nil, err
	case record == nil:
		return nil, ErrNotFound
	case len(record) > MaxRecord:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrCorrupt, MaxRecord)
	}
	return bytes.Clone(record), nil
}

// Update implements [Store]. The context that next gets never ends; it has the
// values of ctx.
func (f *Funcs) Update(ctx context.Context, key string, next func(ctx context.Context, old []byte) ([]byte, error)) error {
	if f.SaveFunc == nil {
		return missing("SaveFunc")
	}
	unlock, err := f.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := f.Load(ctx, key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	record, err := next(context.WithoutCancel(ctx), old)
	if write, err := result(record, err); !write {
		return err
	}
	return persist(ctx, func() error { return f.save(ctx, key, record) })
}

// save is one try. It gives away a copy, so that a SaveFunc which changes the
// bytes and fails doesn't spoil the next try.
func (f *Funcs) save(ctx context.Context, key string, record []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	return f.SaveFunc(ctx, key, append([]byte{}, record...))
}

// Delete implements [Store]. It waits for an Update of the key.
func (f *Funcs) Delete(ctx context.Context, key string) error {
	if f.DeleteFunc == nil {
		return missing("DeleteFunc")
	}
	unlock, err := f.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	return f.DeleteFunc(ctx, key)
}

// Keys returns what KeysFunc returns; see [Keys].
func (f *Funcs) Keys(ctx context.Context) iter.Seq2[string, error] {
	if f.KeysFunc != nil {
		return f.KeysFunc(ctx)
	}
	return func(yield func(string, error) bool) { yield("", missing("KeysFunc")) }
}

func (f *Funcs) lock(ctx context.Context, key string) (unlock func(), err error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	unlock, err = f.updates.Lock(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("tokenstore: waiting for key %q: %w", key, err)
	}
	return unlock, nil
}

func missing(name string) error {
	return fmt.Errorf("tokenstore: Funcs has no %s: %w", name, errors.ErrUnsupported)
}
