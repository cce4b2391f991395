// Package storetests_test runs storetest against real databases. It is a module
// of its own, so that their drivers are nobody else's dependencies.
package storetests_test

import (
	"cmp"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/storetest"
)

// answerTime is how long the database may take to answer.
const answerTime = 10 * time.Second

// settings returns how to connect to PostgreSQL: as the usual environment
// variables say, or else to this machine without a password.
func settings(t testing.TB) *pgx.ConnConfig {
	t.Helper()
	var given []string
	for _, s := range []struct{ name, env, otherwise string }{
		{"host", "PGHOST", "127.0.0.1"}, {"user", "PGUSER", "postgres"}, {"dbname", "PGDATABASE", "postgres"},
	} {
		given = append(given, s.name+"="+cmp.Or(os.Getenv(s.env), s.otherwise))
	}
	cfg, err := pgx.ParseConfig(strings.Join(given, " "))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// openTable returns the database, in a schema of its own that has the name of
// the place and a table tokens. The schema goes with the test.
func openTable(t testing.TB, place string) *sql.DB {
	t.Helper()
	schema := filepath.Base(place)
	cfg := settings(t)
	cfg.RuntimeParams["search_path"] = schema
	cfg.RuntimeParams["application_name"] = schema
	db := stdlib.OpenDB(*cfg)
	t.Cleanup(func() { db.Close() })
	exec := func(statement string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	var found bool
	if err := db.QueryRow(`SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, schema).Scan(&found); err != nil {
		t.Fatal(err)
	}
	if !found {
		exec(`CREATE SCHEMA ` + schema)
		exec(`CREATE TABLE tokens (key text PRIMARY KEY, record bytea)`)
		t.Cleanup(func() { exec(`DROP SCHEMA ` + schema + ` CASCADE`) })
	}
	return db
}

// needsPostgres ends the test where no PostgreSQL answers.
func needsPostgres(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerTime)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, settings(t))
	if err != nil {
		testenv.Missing(t, "no PostgreSQL answers (see PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE): %v", err)
	}
	conn.Close(ctx)
}

func TestTableOnPostgres(t *testing.T) {
	needsPostgres(t)
	storetest.Run(t, storetest.Config{
		Open:   func(t *testing.T, place string) tokenstore.Store { return Table{openTable(t, place)} },
		Shared: true,
	})
}
