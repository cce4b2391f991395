package storetests_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore/sqlstore"
)

func TestRule085_no_session_gets_the_row_of_another(t *testing.T) {
	for name, d := range databases {
		t.Run(name, func(t *testing.T) {
			d.needs(t)
			t.Run("cancelled queries", func(t *testing.T) { cancelledQueries(t, d) })
			if d.connection != "" {
				t.Run("a caller does not end a statement", func(t *testing.T) { sameConnection(t, d) })
			}
			t.Run("keys are bound", func(t *testing.T) { keysAreBound(t, d) })
		})
	}
	t.Run("names of tables", func(t *testing.T) {
		db := databases["SQLite"].open(t, place(t))
		for _, name := range []string{"sessions", "auth.sessions", "_s1", "S"} {
			if _, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: sqlstore.SQLite, Table: name}); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		for _, name := range []string{
			"s;DROP TABLE s", "s s", `"s"`, "`s`", "s--", "s/**/", "1s", "a.b.c", ".s", "s.", "s\n", "s\x00", "ſessions", "s'", "s$1", "?", strings.Repeat("s", 64),
		} {
			if _, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: sqlstore.SQLite, Table: name}); err == nil || !strings.Contains(err.Error(), "Table") {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

// cancelledQueries reads many keys at once, over few connections, with callers that
// go at every moment. Each record says whose it is.
func cancelledQueries(t *testing.T, d database) {
	s, _ := d.openPool(t, place(t), 4)
	const keys = 20
	record := func(key string) []byte { return []byte(strings.Repeat(key+" ", 2000)) }
	for i := range keys {
		key := fmt.Sprint("key", i, "-")
		if err := s.Update(t.Context(), key, func(context.Context, []byte) ([]byte, error) { return record(key), nil }); err != nil {
			t.Fatal(err)
		}
	}
	var got, gone atomic.Int64
	end := time.Now().Add(time.Second)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for time.Now().Before(end) {
				key := fmt.Sprint("key", rand.N(keys), "-")
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(4*time.Millisecond)<<rand.N(7)) // some have time enough, on any machine
				b, err := s.Load(ctx, key)
				if rand.N(4) == 0 {
					err = s.Update(ctx, key, func(_ context.Context, old []byte) ([]byte, error) { b = old; return old, nil })
				}
				cancel()
				switch {
				case err != nil:
					gone.Add(1)
				case string(b) == string(record(key)):
					got.Add(1)
				default:
					t.Errorf("the record of %s begins with %.20q", key, b)
				}
			}
		})
	}
	wg.Wait()
	if got.Load() < 20 || gone.Load() < 20 {
		t.Errorf("%d records and %d callers that went: that was no test", got.Load(), gone.Load())
	}
}

// sameConnection shows that the statement of a caller that went comes to its end: a
// driver closes the connection of one that does not.
func sameConnection(t *testing.T, d database) {
	s, db := d.openPool(t, place(t), 1)
	id := func() (id int) {
		if err := db.QueryRow(d.connection).Scan(&id); err != nil {
			t.Error(err)
		}
		return id
	}
	before := id()
	held, err := db.Conn(t.Context()) // a statement takes as long as this
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(rand.N(time.Millisecond)); cancel() }()
		s.Load(ctx, fmt.Sprint("key", i))
		if i == 25 {
			held.Close()
		}
	}
	if after := id(); after != before {
		t.Errorf("connection %d took the place of %d", after, before)
	}
}

func keysAreBound(t *testing.T, d database) {
	s, db := d.openPool(t, place(t), 2)
	all := []string{`a'b`, `a"b`, "a`b", `a\b`, `a\'b`, `a%b`, `a_b`, `axb`, `AXB`, `a;b`, `a--b`, `a/*b*/`, `$1`, `?`, `:a`, `@a`, `';DROP/**/TABLE/**/freshet_sessions;--`, strings.Repeat("k", 255), strings.Repeat("k", 254)}
	for _, key := range all {
		if err := s.Update(t.Context(), key, func(_ context.Context, old []byte) ([]byte, error) {
			if old != nil {
				t.Errorf("%q has a record already: %q", key, old)
			}
			return []byte(key), nil
		}); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	for _, key := range all {
		if b, err := s.Load(t.Context(), key); err != nil || string(b) != key {
			t.Errorf("Load of %q = %q, %v", key, b, err)
		}
	}
	n := 0
	for _, err := range s.Keys(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		n++
	}
	if n != len(all) {
		t.Errorf("%d keys, want %d", n, len(all))
	}
	// A row that is not that of the key is never taken for it.
	if _, err := db.Exec(`UPDATE freshet_sessions SET name = 'other' WHERE name = 'axb'`); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Load(t.Context(), "axb"); err == nil {
		t.Errorf("Load = %q", b)
	}
}
