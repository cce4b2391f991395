package storetests_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-go/freshet/tokenstore/sqlstore"
)

// A spy is a pool over another one. It notes the first word of each statement, and
// PREPARE where the driver asks the server to prepare one: each of them is a round
// trip.
type spy struct {
	pool *sql.DB

	mu    sync.Mutex
	words []string
}

// Connect implements [driver.Connector]. It takes a connection out of the pool for
// good.
func (s *spy) Connect(ctx context.Context) (driver.Conn, error) {
	taken, err := s.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c := &spiedConn{spy: s, taken: taken}
	err = taken.Raw(func(conn any) error { c.Conn = conn.(driver.Conn); return nil })
	return c, err
}

func (s *spy) Driver() driver.Driver { return s.pool.Driver() }

func (s *spy) note(word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = append(s.words, word)
}

func (s *spy) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.words)
}

// take returns what was noted since the last take.
func (s *spy) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	words := strings.Join(s.words, " ")
	s.words = nil
	return words
}

func firstWord(statement string) string { word, _, _ := strings.Cut(statement, " "); return word }

type spiedConn struct {
	driver.Conn
	spy   *spy
	taken *sql.Conn
}

func (c *spiedConn) Close() error { return c.taken.Close() }

// CheckNamedValue implements [driver.NamedValueChecker], if the driver does.
func (c *spiedConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// QueryContext implements [driver.QueryerContext]. A driver that would rather prepare
// the statement says ErrSkip, and nothing was sent.
func (c *spiedConn) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, statement, args)
	if err != driver.ErrSkip {
		c.spy.note(firstWord(statement))
	}
	return rows, err
}

// ExecContext implements [driver.ExecerContext]; see QueryContext.
func (c *spiedConn) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, statement, args)
	if err != driver.ErrSkip {
		c.spy.note(firstWord(statement))
	}
	return result, err
}

// PrepareContext implements [driver.ConnPrepareContext].
func (c *spiedConn) PrepareContext(ctx context.Context, statement string) (driver.Stmt, error) {
	c.spy.note("PREPARE")
	prepared, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, statement)
	return &spiedStmt{prepared, c.spy, firstWord(statement)}, err
}

type spiedStmt struct {
	driver.Stmt
	spy  *spy
	word string
}

// QueryContext implements [driver.StmtQueryContext].
func (s *spiedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.spy.note(s.word)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// ExecContext implements [driver.StmtExecContext].
func (s *spiedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.spy.note(s.word)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

// spied returns a store in a place of its own, another one there, and what notes the
// statements of the first.
func (d database) spied(t *testing.T) (watched, other *sqlstore.Store, s *spy) {
	t.Helper()
	place := place(t)
	other = d.openStore(t, place, testLease)
	s = &spy{pool: d.open(t, place)}
	db := sql.OpenDB(s)
	t.Cleanup(func() { db.Close() })
	watched, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: d.dialect, Lease: testLease})
	if err != nil {
		t.Fatal(err)
	}
	return watched, other, s
}
