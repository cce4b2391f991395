package storetests_test

import (
	"cmp"
	"context"
	"database/sql"
	"os"
	"path/filepath"
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
	needs   func(t *testing.T)
	open    func(t *testing.T, place string) *sql.DB // a schema or file of the place's own
}

var databases = map[string]database{
	"PostgreSQL": {sqlstore.PostgreSQL, needsPostgres, openTable},
	"MariaDB":    {sqlstore.MySQL, needsMariaDB, openMariaDB},
	"SQLite":     {sqlstore.SQLite, func(*testing.T) {}, openSQLite},
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

func openMySQL(t *testing.T, cfg *mysql.Config) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

func needsMariaDB(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerTime)
	defer cancel()
	if err := openMySQL(t, mariaDB()).PingContext(ctx); err != nil {
		testenv.Missing(t, "no MariaDB or MySQL answers (see MYSQL_HOST, MYSQL_TCP_PORT, MYSQL_USER, MYSQL_PWD): %v", err)
	}
}

// openMariaDB returns a database of the place's own. It goes with the test.
func openMariaDB(t *testing.T, place string) *sql.DB {
	t.Helper()
	name := "freshet_" + filepath.Base(place)
	cfg := mariaDB()
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

func openSQLite(t *testing.T, place string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(place, "sessions.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// openStore returns a store in a place of its own.
func (d database) openStore(t *testing.T, place string, lease time.Duration) *sqlstore.Store {
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
