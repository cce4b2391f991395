package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/redisstore"
	"github.com/freshet-go/freshet/tokenstore/sqlstore"
)

// These are short, so that the demonstration is; a program of your own leaves them
// zero. A refresh must end before its lease. And a request waits for a token for twice
// refreshTimeout: here that is longer than a lease and the settle time, so that none
// fails. Elsewhere a refresh begins while the old token is good for minutes yet.
const (
	refreshTimeout = 3100 * time.Millisecond
	lease          = 3500 * time.Millisecond
	settle         = time.Second
)

// A place is where the session is kept. The parent tells its workers. It is the same
// for all who are to share the session.
type place struct {
	Store string
	DSN   string
	Name  string // of the table, or what the keys begin with
}

// A kind is what there is to know of a store.
type kind struct {
	title   string
	example string // of a DSN; empty if there is no need to give one
	driver  string // for database/sql
	dialect sqlstore.Dialect
}

var kinds = map[string]kind{
	"dir":      {title: "a directory"},
	"sqlite":   {"an SQLite file", "", "sqlite", sqlstore.SQLite},
	"postgres": {"PostgreSQL", "postgres://user:password@127.0.0.1/database", "pgx", sqlstore.PostgreSQL},
	"mariadb":  {"MariaDB", "user:password@tcp(127.0.0.1:3306)/database", "mysql", sqlstore.MySQL},
	"redis":    {title: "Redis", example: "redis://127.0.0.1:6379/0"},
}

// named returns p with a name that no other run has.
func (p place) named() place {
	p.Name = "freshet_fleet_" + strings.ToLower(rand.Text()[:8])
	return p
}

func (p place) kind() kind { return kinds[p.Store] }

// leased reports whether who has the session has it for a time. A directory is
// locked by a process, and its lock ends with it.
func (p place) leased() bool { return p.Store != "dir" }

func (p place) check() error {
	k, ok := kinds[p.Store]
	switch {
	case !ok:
		return fmt.Errorf("-store %q: want dir, sqlite, postgres, mariadb or redis", p.Store)
	case p.DSN == "" && k.example != "":
		return fmt.Errorf("-dsn: say how to connect to %s, such as %s", k.title, k.example)
	case p.Store == "sqlite" && strings.Contains(p.DSN, "?"):
		return errors.New("-dsn: want the name of a file, without parameters")
	}
	return nil
}

// open returns the store, and what closes the connections under it.
func (p place) open() (tokenstore.Store, func() error, error) {
	switch p.Store {
	case "dir":
		return tokenstore.Dir(p.DSN), func() error { return nil }, nil
	case "redis":
		c, err := p.openRedis()
		if err != nil {
			return nil, nil, err
		}
		store, err := redisstore.New(redisstore.Config{Client: c, Prefix: p.Name + ":", Lease: lease, Settle: settle})
		return store, c.Close, err
	}
	db, err := p.openSQL()
	if err != nil {
		return nil, nil, err
	}
	store, err := p.table(db)
	return store, db.Close, err
}

func (p place) openRedis() (*redis.Client, error) {
	options, err := redis.ParseURL(p.DSN)
	if err != nil { // which may show the password
		return nil, fmt.Errorf("-dsn: no URL of a Redis: want one such as %s", p.kind().example)
	}
	return redis.NewClient(options), nil
}

func (p place) openSQL() (*sql.DB, error) {
	dsn := p.DSN
	if p.Store == "sqlite" {
		// Of the processes one at a time can write to the file. Without busy_timeout
		// the others do not wait for their turn, but fail with SQLITE_BUSY; and
		// without WAL those who read would have to wait too.
		dsn += "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"
	}
	db, err := sql.Open(p.kind().driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("-dsn: %w: want one such as %s", err, p.kind().example)
	}
	return db, nil
}

func (p place) table(db *sql.DB) (*sqlstore.Store, error) {
	return sqlstore.New(sqlstore.Config{DB: db, Dialect: p.kind().dialect, Table: p.Name, Lease: lease, Settle: settle})
}

// prepare finds out whether the store can be reached, and makes the table.
func (p place) prepare(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch p.Store {
	case "dir":
		return nil
	case "redis":
		c, err := p.openRedis()
		if err != nil {
			return err
		}
		defer c.Close()
		err = c.Ping(ctx).Err()
		return p.unreachable(err)
	}
	db, err := p.openSQL()
	if err != nil {
		return err
	}
	defer db.Close()
	store, err := p.table(db)
	if err != nil {
		return err
	}
	return p.unreachable(store.CreateTable(ctx))
}

func (p place) unreachable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("-dsn: %s can't be used: %w", p.kind().title, err)
}

// clean removes the table. What is in Redis or in a directory goes with the session.
func (p place) clean() (err error) {
	if p.kind().driver == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	db, err := p.openSQL()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, "DROP TABLE "+p.Name)
	return err
}
