// Package lease is what the stores over a database have in common: an Update
// whose exclusion is a lease, kept in the database beside the record.
//
// A lease has an owner, drawn for each Update, and an end by the database's clock.
// One short step takes it and reads the record, one writes the record and frees
// it, if the owner still has it; nothing of the database is held in between, while
// the function of the Update is at the authorization server. A lease is never
// renewed: the function's context ends before it does.
//
// Who waits asks again and again. A lease that has run out without being given
// back is not taken at once. Its holder may have a rotated refresh token that it
// could not write because the database was away, and is trying still: it comes
// first. So a lease is taken over only from who has been seen not to write for a
// settle time, which is longer than a holder pauses between two tries.
package lease

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/internal/keylock"
)

// A Table is a database with a record and a lease under each key. Each method is
// one step: it happens as a whole or not at all, and after an error it may have
// happened. The contexts have a deadline and are ended by no caller.
type Table interface {
	// Load returns the record under key, or an error that is
	// [tokenstore.ErrNotFound].
	Load(ctx context.Context, key string) ([]byte, error)

	// Take gives the lease of key to owner for length, by the database's clock,
	// if nobody has it, or owner itself, or over, whose lease has run out. It
	// returns what is there then. waiting says that somebody else had it a moment
	// ago, so that it is likely not to be had: a Table for which reading is cheaper
	// looks first.
	Take(ctx context.Context, key, owner, over string, length time.Duration, waiting bool) (Row, error)

	// Commit writes record under key and frees it, if owner has the lease and
	// nothing was written since version was read. It returns true, too, if an
	// earlier Commit of owner, whose answer was lost, has done so and nobody
	// has taken the key since. False: nothing was written.
	Commit(ctx context.Context, key, owner string, version int64, record []byte) (bool, error)

	// Remove removes the record under key and the lease, if owner has it.
	Remove(ctx context.Context, key, owner string) (bool, error)

	// Free gives the lease of key back, if owner has it.
	Free(ctx context.Context, key, owner string) error
}

// A Row is what a Table has under a key.
type Row struct {
	Holder  string // of the lease; empty if it is free
	RunOut  bool   // the lease has ended, and was not given back
	Version int64  // grows with every write
	Record  []byte // nil if there is none
}

// The defaults of a Store.
const (
	defaultLength = 30 * time.Second
	defaultSettle = 5 * time.Second
)

// shortest is the shortest lease: databases count in milliseconds.
const shortest = 10 * time.Millisecond

// answerTime bounds a step that nothing else bounds.
const answerTime = 10 * time.Second

// A Store is a [tokenstore.Store] over a Table. It is safe for concurrent use,
// and must not be changed or copied once it is in use.
type Store struct {
	Table Table

	// Length is that of a lease. If zero, 30 seconds.
	Length time.Duration

	// Settle is how long a lease is watched that has run out, before it is taken
	// over. If zero, 5 seconds, or a sixth of Length where that is less.
	Settle time.Duration

	updates keylock.Locks // one of the process at a time asks the database for a key
}

func (s *Store) length() time.Duration { return cmp.Or(s.Length, defaultLength) }

func (s *Store) settle() time.Duration {
	return cmp.Or(s.Settle, min(defaultSettle, s.length()/6))
}

// Check returns what is wrong with the times of s.
func (s *Store) Check() error {
	switch {
	case s.length() < shortest:
		return fmt.Errorf("Lease is %s: it must be longer than a refresh may take; leave it zero for %s", s.Length, defaultLength)
	case s.Settle < 0:
		return fmt.Errorf("Settle is %s: leave it zero for %s, or a sixth of Lease", s.Settle, defaultSettle)
	}
	return nil
}

// Load implements [tokenstore.Store].
func (s *Store) Load(ctx context.Context, key string) ([]byte, error) {
	if err := tokenstore.CheckKey(key); err != nil {
		return nil, err
	}
	var record []byte // the step's alone, which may be under way when this returns
	err := detach(ctx, answerTime, func(ctx context.Context) (err error) {
		record, err = s.Table.Load(ctx, key)
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	return record, nil
}

// Update implements [tokenstore.Store].
func (s *Store) Update(ctx context.Context, key string, next func(ctx context.Context, old []byte) ([]byte, error)) error {
	h, err := s.acquire(ctx, key)
	if err != nil {
		return err
	}
	defer h.release() // whatever next does: return, panic or Goexit
	inner, cancel := context.WithDeadline(context.WithoutCancel(ctx), h.ends)
	defer cancel()
	record, err := next(inner, h.row.Record)
	switch {
	case errors.Is(err, tokenstore.ErrUnchanged):
		return nil
	case err != nil:
		return err
	case len(record) > tokenstore.MaxRecord:
		return fmt.Errorf("%w: %d bytes", tokenstore.ErrTooLarge, len(record))
	}
	if record == nil {
		record = []byte{}
	}
	return h.persist(ctx, func(ctx context.Context) (bool, error) {
		return s.Table.Commit(ctx, key, h.owner, h.row.Version, record)
	})
}

// Delete implements [tokenstore.Store]. It waits for an Update of the key.
func (s *Store) Delete(ctx context.Context, key string) error {
	h, err := s.acquire(ctx, key)
	if err != nil {
		return err
	}
	defer h.release()
	return h.persist(ctx, func(ctx context.Context) (bool, error) { return s.Table.Remove(ctx, key, h.owner) })
}

// acquire waits for the lease of key until ctx is over.
func (s *Store) acquire(ctx context.Context, key string) (*hold, error) {
	if err := tokenstore.CheckKey(key); err != nil {
		return nil, err
	}
	unlock, err := s.updates.Lock(ctx, key)
	if err != nil {
		return nil, waiting(key, err)
	}
	h := &hold{store: s, key: key, owner: rand.Text(), unlock: unlock}
	if err := h.wait(ctx); err != nil {
		return nil, waiting(key, err)
	}
	return h, nil
}

func waiting(key string, err error) error {
	return fmt.Errorf("tokenstore: waiting for key %q: %w", key, err)
}
