package storetests_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/sqlstore"
	"github.com/freshet-go/freshet/tokenstore/storetest"
)

// A database is one that sqlstore is tested on.
type database struct {
	dialect sqlstore.Dialect
	needs   func(t testing.TB)
	open    func(t testing.TB, place string) *sql.DB // a schema or file of the place's own

	connection string // tells the connection's number

	levels []string                           // statements that set the isolation level of a connection
	idle   string                             // counts transactions that are left open
	kill   func(t *testing.T, db *sql.DB) int // the connections to that schema, by another one
}

var databases = map[string]database{
	"PostgreSQL": {
		dialect: sqlstore.PostgreSQL, needs: needsPostgres, open: openTable, kill: killPostgres, connection: `SELECT pg_backend_pid()`,
		levels: []string{"SET default_transaction_isolation = 'repeatable read'", "SET default_transaction_isolation = 'serializable'"},
		idle:   `SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND application_name = current_setting('application_name') AND application_name <> ''`,
	},
	"MariaDB": {
		dialect: sqlstore.MySQL, needs: needsMariaDB, open: openMariaDB, kill: killMariaDB, connection: `SELECT connection_id()`,
		levels: []string{"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"},
		idle:   `SELECT count(*) FROM information_schema.innodb_trx x JOIN information_schema.processlist p ON x.trx_mysql_thread_id = p.id WHERE p.db = database() AND p.id <> connection_id()`,
	},
	"SQLite": {dialect: sqlstore.SQLite, needs: func(testing.TB) {}, open: openSQLite},
}

// place returns a new place, as storetest makes them.
func place(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "p"+strings.ToLower(rand.Text()[:16]))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// killPostgres ends the connections that have the application name of db's, which
// is the place.
func killPostgres(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	err := db.QueryRow(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()`).Scan(&n)
	if err != nil {
		return 0 // it was killed itself
	}
	return n
}

func killMariaDB(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	rows, err := db.Query(`SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()`)
	if err != nil {
		return 0
	}
	defer rows.Close()
	var ids []int
	for rows.Next() {
		var id int
		if rows.Scan(&id) == nil {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		if _, err := db.Exec(fmt.Sprint("KILL ", id)); err == nil {
			n++
		}
	}
	return n
}

// mariaDB returns how to connect to MariaDB: as its usual environment variables
// say, or else as root to this machine without a password.
func mariaDB() *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.Net = "tcp"
	cfg.Addr = cmp.Or(os.Getenv("MYSQL_HOST"), "127.0.0.1") + ":" + cmp.Or(os.Getenv("MYSQL_TCP_PORT"), "3306")
	cfg.User, cfg.Passwd = cmp.Or(os.Getenv("MYSQL_USER"), "root"), os.Getenv("MYSQL_PWD")
	return cfg
}

func openMySQL(t testing.TB, cfg *mysql.Config) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

func needsMariaDB(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerTime)
	defer cancel()
	if err := openMySQL(t, mariaDB()).PingContext(ctx); err != nil {
		testenv.Missing(t, "no MariaDB or MySQL answers (see MYSQL_HOST, MYSQL_TCP_PORT, MYSQL_USER, MYSQL_PWD): %v", err)
	}
}

// openMariaDB returns a database of the place's own. It goes with the test.
func openMariaDB(t testing.TB, place string) *sql.DB {
	t.Helper()
	return openMariaDBBy(t, place, mariaDB())
}

// openUnprepared is openMariaDB, with a driver that prepares no statements.
func openUnprepared(t testing.TB, place string) *sql.DB {
	t.Helper()
	cfg := mariaDB()
	cfg.InterpolateParams = true
	return openMariaDBBy(t, place, cfg)
}

func openMariaDBBy(t testing.TB, place string, cfg *mysql.Config) *sql.DB {
	t.Helper()
	name := "freshet_" + filepath.Base(place)
	result, err := openMySQL(t, cfg).Exec("CREATE DATABASE IF NOT EXISTS " + name)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DBName = name
	db := openMySQL(t, cfg)
	if n, _ := result.RowsAffected(); n == 1 {
		t.Cleanup(func() { db.Exec("DROP DATABASE " + name) })
	}
	return db
}

func openSQLite(t testing.TB, place string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(place, "sessions.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// openStore returns a store in a place of its own.
func (d database) openStore(t testing.TB, place string, lease time.Duration) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(sqlstore.Config{DB: d.open(t, place), Dialect: d.dialect, Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if err := s.CreateTable(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

const testLease = 6 * time.Second

func TestSQLStore(t *testing.T) {
	for name, d := range databases {
		t.Run(name, func(t *testing.T) {
			d.needs(t)
			storetest.Run(t, storetest.Config{
				Open:     func(t *testing.T, place string) tokenstore.Store { return d.openStore(t, place, testLease) },
				Shared:   true,
				Takeover: 2 * testLease,
			})
		})
	}
}

func TestSealedSQLStore(t *testing.T) {
	key, err := tokenstore.NewSealKey("test", []byte("a key of all processes of a test"))
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range databases {
		t.Run(name, func(t *testing.T) {
			d.needs(t)
			storetest.Run(t, storetest.Config{
				Open: func(t *testing.T, place string) tokenstore.Store {
					s, err := tokenstore.NewSealed(d.openStore(t, place, testLease), key)
					if err != nil {
						t.Fatal(err)
					}
					return s
				},
				Shared:    true,
				Takeover:  2 * testLease,
				MaxRecord: tokenstore.MaxRecord - 128,
			})
		})
	}
}
