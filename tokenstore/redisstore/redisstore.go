// Package redisstore keeps sessions in Redis, or Valkey, which several processes
// and hosts share.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/internal/lease"
)

// A Config says where the sessions are.
type Config struct {
	// Client is the connection, required: of one server, of sentinels or of a
	// cluster. The Store does not close it. Whatever it says of replicas, the
	// Store asks the master alone.
	Client redis.UniversalClient

	// Prefix begins the names of the keys in Redis, of which there is one for each
	// session: printable ASCII characters without spaces and braces. If empty,
	// "freshet:".
	Prefix string

	// Lease is how long an Update may have a session for itself, and so how long
	// a process that died keeps it from the others. It must be longer than a
	// refresh may take: than RefreshTimeout, by some seconds. If zero, 30
	// seconds.
	Lease time.Duration

	// Settle is how long a lease is watched that ran out without being given
	// back, before another takes it over: its holder may have a new refresh
	// token, and be trying to save it. If zero, 5 seconds, or a sixth of Lease
	// where that is less.
	Settle time.Duration

	// TTL is how long a record is kept that is not written any more, such as
	// that of a user who does not come back. It must be longer than the longest
	// pause between two refreshes, or sessions are lost. If zero, records are kept
	// until they are deleted.
	TTL time.Duration
}

// A Store is a [tokenstore.Store] in Redis; make it with [New]. It is safe for
// concurrent use, by any number of processes with the same Prefix, and best with
// the same Lease and Settle. Two Stores over one prefix are one store.
//
// A session is a hash of its own: its record, a version that counts the writes, and
// the lease of the Update that has it, which ends by the server's clock. One script
// takes the lease and reads, another writes the record and gives it back; in between
// nothing of Redis is held. A holder that comes back after its lease was taken over
// writes nothing, and gets [tokenstore.ErrConflict]. A lease has no TTL of Redis's:
// the others could not tell one that ran out from one that was given back.
//
// What Redis promises of a write that it has confirmed depends on how it is set up.
// With appendonly and appendfsync always it is on disk; with appendfsync everysec,
// or after a failover to a replica, the last second may be gone; without, all of it.
// A process that holds the session then writes it back. Where none does, or another
// has meanwhile sent the older refresh token, the session is lost. Set
// maxmemory-policy to noeviction, or Redis throws sessions away.
type Store struct {
	leases lease.Store
	table  *table
}

// New returns a Store. It does no I/O.
func New(cfg Config) (*Store, error) {
	if cfg.Prefix == "" {
		cfg.Prefix = "freshet:"
	}
	t := &table{client: cfg.Client, prefix: cfg.Prefix, ttl: cfg.TTL}
	s := &Store{table: t, leases: lease.Store{Table: t, Length: cfg.Lease, Settle: cfg.Settle}}
	if err := errors.Join(cfg.check(), s.leases.Check()); err != nil {
		return nil, fmt.Errorf("redisstore: Config: %w", err)
	}
	return s, nil
}

func (c *Config) check() error {
	var errs []error
	if c.Client == nil {
		errs = append(errs, errors.New("Client is nil: give what redis.NewClient returns"))
	}
	if tokenstore.CheckKey(c.Prefix) != nil || strings.ContainsAny(c.Prefix, "{}") {
		errs = append(errs, fmt.Errorf("Prefix is %q: want printable ASCII without spaces and braces, such as freshet:", c.Prefix))
	}
	if c.TTL != 0 && c.TTL < time.Second {
		errs = append(errs, fmt.Errorf("TTL is %s: want a second at the least, or zero to keep records until they are deleted", c.TTL))
	}
	return errors.Join(errs...)
}

// Load implements [tokenstore.Store]. It does not wait for an Update.
func (s *Store) Load(ctx context.Context, key string) ([]byte, error) { return s.leases.Load(ctx, key) }

// Update implements [tokenstore.Store]. The context of next ends a tenth of Lease
// before the lease does, since clocks do not run alike.
func (s *Store) Update(ctx context.Context, key string, next func(ctx context.Context, old []byte) ([]byte, error)) error {
	return s.leases.Update(ctx, key, next)
}

// Delete implements [tokenstore.Store]. It waits for an Update of the key.
func (s *Store) Delete(ctx context.Context, key string) error { return s.leases.Delete(ctx, key) }

// Keys returns the keys in no order; see [tokenstore.Keys]. They are read page by
// page, of every master of a cluster, before the sequence begins: Redis may name a
// key twice.
func (s *Store) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		keys, err := s.table.keys(ctx)
		for key := range keys {
			if !yield(key, nil) {
				return
			}
		}
		if err != nil {
			yield("", err)
		}
	}
}

var _ tokenstore.Store = (*Store)(nil)
