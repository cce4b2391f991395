//go:build unix

package storetests_test

import (
	"context"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/sqlstore"
	"github.com/freshet-go/freshet/tokenstore/storetest"
)

// TestStatements counts those of each operation: a record that is there is loaded with
// one, and updated with two, and one more where an UPDATE can't return the row.
func TestStatements(t *testing.T) {
	put := func(record string) func(context.Context, []byte) ([]byte, error) {
		return func(context.Context, []byte) ([]byte, error) { return []byte(record), nil }
	}
	unchanged := func(context.Context, []byte) ([]byte, error) { return nil, tokenstore.ErrUnchanged }
	for name, d := range databases {
		t.Run(name, func(t *testing.T) {
			d.needs(t)
			store, other, s := d.spied(t)
			ctx := t.Context()
			took := "UPDATE"
			if d.dialect == sqlstore.MySQL {
				took = "UPDATE SELECT"
			}
			for _, tt := range []struct {
				what string
				do   func() error
				want string
			}{
				{"first Update", func() error { return store.Update(ctx, "k", put("1")) }, "UPDATE SELECT INSERT " + took + " UPDATE"},
				{"Update", func() error { return store.Update(ctx, "k", put("2")) }, took + " UPDATE"},
				{"Update without a change", func() error { return store.Update(ctx, "k", unchanged) }, took + " UPDATE"},
				{"Load", func() error { _, err := store.Load(ctx, "k"); return err }, "SELECT"},
				{"Update after a wait", func() error { return afterWait(t, store, other, s) }, "UPDATE SELECT (SELECT )+" + took + " UPDATE"},
				{"Delete", func() error { return store.Delete(ctx, "k") }, took + " DELETE"},
			} {
				if err := tt.do(); err != nil {
					t.Fatalf("%s: %v", tt.what, err)
				}
				got := strings.ReplaceAll(s.take(), "PREPARE ", "")
				if !regexp.MustCompile("^" + tt.want + "$").MatchString(got) {
					t.Errorf("%s takes %s, want %s", tt.what, got, tt.want)
				}
			}
		})
	}
}

// TestStatements_unprepared is about what Config.DB advises for MySQL: the driver then
// writes what is bound into the statement, whatever bytes it has, and saves the round
// trip in which the server would prepare it.
func TestStatements_unprepared(t *testing.T) {
	needsMariaDB(t)
	prepares := databases["MariaDB"]
	unprepared := prepares
	unprepared.open = openUnprepared
	for _, tt := range []struct {
		d    database
		want string
	}{
		{prepares, "PREPARE UPDATE PREPARE SELECT PREPARE UPDATE"},
		{unprepared, "UPDATE SELECT UPDATE"},
	} {
		store, _, s := tt.d.spied(t)
		l := newLoad(t, store, "k", 64)
		s.take()
		if err := l.update(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if got := s.take(); got != tt.want {
			t.Errorf("Update takes %s, want %s", got, tt.want)
		}
	}
	storetest.Run(t, storetest.Config{
		Open: func(t *testing.T, place string) tokenstore.Store { return unprepared.openStore(t, place, testLease) },
	})
}

// afterWait has store make an Update that waits for one of other, which goes on until
// some statements were made in vain.
func afterWait(t *testing.T, store, other tokenstore.Store, s *spy) error {
	t.Helper()
	inside, done := make(chan bool), make(chan error)
	go func() {
		done <- other.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) {
			close(inside)
			for end := time.Now().Add(testLease / 2); s.count() < 5 && time.Now().Before(end); time.Sleep(time.Millisecond) {
			}
			return []byte("other"), nil
		})
	}()
	<-inside
	if err := store.Update(t.Context(), "k", increment); err != nil {
		return err
	}
	return <-done
}

// TestNothingRuns_after_an_Update has no store leave a goroutine behind.
func TestNothingRuns_after_an_Update(t *testing.T) {
	for _, b := range benchedStores {
		t.Run(b.name, func(t *testing.T) {
			b.needs(t)
			l := newLoad(t, b.open(t), "k", 64) // opens the connection
			before := runtime.NumGoroutine()
			for i := range 20 {
				for _, op := range benchedOps {
					if err := op.do(l, t.Context(), i); err != nil {
						t.Fatal(err)
					}
				}
			}
			for end := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
				if time.Now().After(end) {
					t.Fatalf("%d goroutines, and %d before", runtime.NumGoroutine(), before)
				}
			}
		})
	}
}
