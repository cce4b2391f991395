package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/sqlstore"
)

// Sessions in PostgreSQL, for all hosts that reach it. The driver is one that the
// program imports, such as github.com/jackc/pgx/v5/stdlib.
func Example() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: sqlstore.PostgreSQL})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.CreateTable(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Give it to client.Config.Store. To encrypt what it keeps:
	key, err := tokenstore.ParseSealKey("2026-11", os.Getenv("SEAL_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	sealed, err := tokenstore.NewSealed(store, key)
	fmt.Println(sealed, err)
}

// A file that the processes of one machine share, with modernc.org/sqlite: without
// busy_timeout a connection that finds the file in use gives up at once.
func ExampleNew_sqlite() {
	db, err := sql.Open("sqlite", "file:/var/lib/my-app/sessions.db?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: sqlstore.SQLite})
	fmt.Println(store, err)
}
