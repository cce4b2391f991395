package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/internal/lease"
)

// A table is the [lease.Table] in the database. Each statement is a transaction
// of its own, so any isolation level will do.
type table struct {
	db      *sql.DB
	dialect Dialect
	sql     statements
}

// Load implements [lease.Table].
func (t *table) Load(ctx context.Context, key string) (record []byte, err error) {
	var name string
	err = t.db.QueryRowContext(ctx, t.sql.load, key).Scan(&name, &record)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, tokenstore.ErrNotFound
	}
	if err := checkName(err, name, key); err != nil {
		return nil, err
	}
	if record == nil {
		record = []byte{} // there is one: some drivers have nil for an empty blob
	}
	return record, nil
}

// maxRounds bounds the tries to find the row or to make it: it may come and go.
const maxRounds = 5

// Take implements [lease.Table]. Who waits looks first: an UPDATE has to lock the row,
// and in SQLite the whole file, even where it finds that it may not change anything.
func (t *table) Take(ctx context.Context, key, owner, over string, length time.Duration, waiting bool) (lease.Row, error) {
	if waiting {
		if row, err := t.look(ctx, key); err == nil && keptFrom(row, owner, over) {
			return row, nil
		}
	}
	for range maxRounds {
		row, err := t.take(ctx, key, owner, over, length)
		if errors.Is(err, sql.ErrNoRows) {
			row, err = t.look(ctx, key)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return row, err
		}
		if _, err := t.db.ExecContext(ctx, t.sql.insert, key, owner, length.Milliseconds()); err != nil {
			return lease.Row{}, err
		}
	}
	return lease.Row{}, errors.New("sqlstore: the row comes and goes")
}

// keptFrom reports whether the lease is another's, whom owner may not take it from.
func keptFrom(row lease.Row, owner, over string) bool {
	free := row.Holder == "" || row.Holder == owner || row.RunOut && row.Holder == over
	return !free
}

// look returns the row as it is.
func (t *table) look(ctx context.Context, key string) (lease.Row, error) {
	return t.scan(key, t.db.QueryRowContext(ctx, t.sql.look, key))
}

// take returns the row that was taken. Without RETURNING it can't tell: the
// look that follows does.
func (t *table) take(ctx context.Context, key, owner, over string, length time.Duration) (lease.Row, error) {
	args := []any{owner, length.Milliseconds(), key, owner, over}
	if t.dialect.returning() {
		return t.scan(key, t.db.QueryRowContext(ctx, t.sql.take, args...))
	}
	_, err := t.db.ExecContext(ctx, t.sql.take, args...)
	if err == nil {
		err = sql.ErrNoRows
	}
	return lease.Row{}, err
}

func (t *table) scan(key string, r *sql.Row) (row lease.Row, err error) {
	var name string
	var found bool
	err = r.Scan(&name, &row.Holder, &row.RunOut, &row.Version, &found, &row.Record)
	if found && row.Record == nil {
		row.Record = []byte{}
	}
	return row, checkName(err, name, key)
}

// checkName is there because another session's token must never be sent: drivers
// and pools have mixed up rows before (CVE-2025-47907).
func checkName(err error, name, key string) error {
	if err == nil && name != key {
		return fmt.Errorf("sqlstore: the database answered with the row of another key")
	}
	return err
}

// Commit implements [lease.Table].
func (t *table) Commit(ctx context.Context, key, owner string, version int64, record []byte) (bool, error) {
	changed, err := t.exec(ctx, t.sql.commit, record, key, owner, version)
	if changed || err != nil {
		return changed, err
	}
	var wrote int
	err = t.db.QueryRowContext(ctx, t.sql.wrote, key, owner, version).Scan(&wrote)
	return wrote == 1, err
}

// Remove implements [lease.Table].
func (t *table) Remove(ctx context.Context, key, owner string) (bool, error) {
	return t.exec(ctx, t.sql.remove, key, owner)
}

// Free implements [lease.Table]. A row that was made for the lease goes again.
func (t *table) Free(ctx context.Context, key, owner string) error {
	changed, err := t.exec(ctx, t.sql.free, key, owner)
	if err == nil && !changed {
		_, err = t.exec(ctx, t.sql.clean, key, owner)
	}
	return err
}

// exec reports whether the statement changed a row.
func (t *table) exec(ctx context.Context, statement string, args ...any) (bool, error) {
	result, err := t.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// pageSize is how many keys are read at once.
const pageSize = 1000

func (t *table) keys(ctx context.Context, after string) (page []string, err error) {
	rows, err := t.db.QueryContext(ctx, t.sql.keys, after, pageSize)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		page = append(page, name)
	}
	return page, rows.Err()
}
