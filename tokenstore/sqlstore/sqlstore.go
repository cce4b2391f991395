// Package sqlstore keeps sessions in a table of an SQL database that several
// processes and hosts share: PostgreSQL, MySQL, MariaDB or SQLite, over
// [database/sql]. The driver is the program's.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/internal/lease"
)

// A Config says where the sessions are.
type Config struct {
	// DB is the database, required. It must lead to the primary: a replica shows
	// refresh tokens that are spent. A pool of one connection is enough; none is
	// held while the authorization server is asked. The Store does not close it.
	//
	// For MySQL and MariaDB, with github.com/go-sql-driver/mysql, set
	// interpolateParams=true: otherwise every statement takes a second round trip,
	// in which the server prepares it.
	//
	// For SQLite, let a connection wait for the others, and write ahead: with
	// modernc.org/sqlite that is
	// "file:sessions.db?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)".
	// The file must be on a local disk.
	DB *sql.DB

	// Dialect is the SQL that DB understands, required.
	Dialect Dialect

	// Table is the table's name, of ASCII letters, digits and underscores, perhaps
	// with its schema: "auth.sessions". If empty, "freshet_sessions".
	Table string

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
}

// A Store is a [tokenstore.Store] in a table; make it with [New]. It is safe for
// concurrent use, by any number of processes with the same Dialect and Table, and
// best with the same Lease and Settle. Two Stores over one table are one store.
//
// An Update has a lease, which is kept in the row of its key by the database's
// clock. One short statement takes it and one writes the record and gives it back;
// in between nothing of the database is held, no transaction and no connection. A
// holder that comes back after its lease was taken over writes nothing, and gets
// [tokenstore.ErrConflict].
type Store struct {
	leases lease.Store
	table  *table
}

// New returns a Store. It does no I/O: CreateTable makes the table where there is
// none.
func New(cfg Config) (*Store, error) {
	if cfg.Table == "" {
		cfg.Table = "freshet_sessions"
	}
	t := &table{db: cfg.DB, dialect: cfg.Dialect, sql: statementsOf(cfg.Dialect, cfg.Table)}
	s := &Store{table: t, leases: lease.Store{Table: t, Length: cfg.Lease, Settle: cfg.Settle}}
	if err := errors.Join(cfg.check(), s.leases.Check()); err != nil {
		return nil, fmt.Errorf("sqlstore: Config: %w", err)
	}
	return s, nil
}

// tableName is what a table may be called: it can't be bound as a parameter.
var tableName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}$`)

func (c *Config) check() error {
	var errs []error
	if c.DB == nil {
		errs = append(errs, errors.New("DB is nil: give what sql.Open returns"))
	}
	if !c.Dialect.valid() {
		errs = append(errs, fmt.Errorf("Dialect is %s: give PostgreSQL, MySQL or SQLite", c.Dialect))
	}
	if !tableName.MatchString(c.Table) {
		errs = append(errs, fmt.Errorf("Table is %q: want letters, digits and underscores, such as auth.sessions", c.Table))
	}
	return errors.Join(errs...)
}

// CreateTable makes the table, if there is none of that name; see [Dialect] for
// the statement.
func (s *Store) CreateTable(ctx context.Context) error {
	_, err := s.table.db.ExecContext(ctx, s.table.sql.create)
	return err
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

// Keys returns the keys in the order of their bytes; see [tokenstore.Keys]. They
// are read page by page, with a short statement each.
func (s *Store) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		after := ""
		for {
			page, err := s.table.keys(ctx, after)
			if err != nil {
				yield("", err)
				return
			}
			for _, key := range page {
				if !yield(key, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			after = page[len(page)-1]
		}
	}
}

var _ tokenstore.Store = (*Store)(nil)
