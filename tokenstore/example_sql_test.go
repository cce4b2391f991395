package tokenstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/freshet-go/freshet/tokenstore"
)

// A Table is a store in a table of the program's own, shared by all processes
// that use the database. This is for PostgreSQL:
//
//	CREATE TABLE tokens (key text PRIMARY KEY, record bytea)
//
// What such a store gets wrong most often: it begins the transaction with the
// caller's context. When the caller goes away, the transaction is rolled back,
// after the server has rotated the refresh token, and with it goes the only copy
// of the new one. So ctx bounds the wait for a connection and for the row, and
// nothing else.
//
// An Update has a connection for as long as it waits and runs; a pool must not
// have fewer than there may be of them.
type Table struct{ db *sql.DB }

func (t Table) Load(ctx context.Context, key string) (record []byte, err error) {
	if err := tokenstore.CheckKey(key); err != nil {
		return nil, err
	}
	err = t.db.QueryRowContext(ctx, `SELECT record FROM tokens WHERE key = $1`, key).Scan(&record)
	if errors.Is(err, sql.ErrNoRows) {
		err = tokenstore.ErrNotFound
	}
	return record, err
}

// lock is SELECT … FOR UPDATE for a row that may not be there yet: it makes the
// row or locks it, and reads it, without a gap in which a DELETE fits. A row that
// it has made has no record, so old is nil, and goes with the transaction if next
// fails.
const lock = `INSERT INTO tokens (key) VALUES ($1) ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING record`

func (t Table) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	return t.locked(ctx, key, func(detached context.Context, tx *sql.Tx, old []byte) error {
		record, err := next(detached, old)
		switch {
		case err != nil:
			return err
		case len(record) > tokenstore.MaxRecord:
			return tokenstore.ErrTooLarge
		}
		// A nil slice is NULL to the driver, and an empty record to us.
		_, err = tx.ExecContext(detached, `UPDATE tokens SET record = coalesce($2::bytea, '') WHERE key = $1`, key, record)
		return err
	})
}

// Delete takes the lock like an Update: a DELETE that waits may still happen when its
// caller has gone, since the database hears of that late, and would take away what
// another process has written meanwhile.
func (t Table) Delete(ctx context.Context, key string) error {
	return t.locked(ctx, key, func(detached context.Context, tx *sql.Tx, _ []byte) error {
		_, err := tx.ExecContext(detached, `DELETE FROM tokens WHERE key = $1`, key)
		return err
	})
}

// locked calls do with the record locked, in a transaction that goes on if the caller
// goes. If do fails, nothing is written.
func (t Table) locked(ctx context.Context, key string, do func(detached context.Context, tx *sql.Tx, old []byte) error) error {
	if err := tokenstore.CheckKey(key); err != nil {
		return err
	}
	conn, err := t.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	detached := context.WithoutCancel(ctx)
	tx, err := conn.BeginTx(detached, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // whatever do does: return, panic or Goexit
	var old []byte
	if err := tx.QueryRowContext(ctx, lock, key).Scan(&old); err != nil {
		return err
	}
	switch err := do(detached, tx, old); {
	case errors.Is(err, tokenstore.ErrUnchanged):
		return nil
	case err != nil:
		return err
	}
	return tx.Commit()
}

// A store in a table of the program's own database, which storetest.Run finds no
// fault with. The comment on Table says what such a store gets wrong most often.
func Example() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // a driver that the program has
	if err != nil {
		log.Fatal(err)
	}
	var store tokenstore.Store = Table{db}
	record, err := store.Load(context.Background(), "alice@example.com")
	fmt.Println(len(record), err)
}
