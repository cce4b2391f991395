package storetests_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/sqlstore"
)

// openPool returns a store whose pool has that many connections, and the pool.
func (d database) openPool(t testing.TB, place string, connections int) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	db := d.open(t, place)
	db.SetMaxOpenConns(connections)
	s, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: d.dialect, Lease: testLease})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, db
}

// increment adds one to the number that is the record.
func increment(_ context.Context, old []byte) ([]byte, error) {
	n, _ := strconv.Atoi(string(old))
	return strconv.AppendInt(nil, int64(n+1), 10), nil
}

func TestRule084_a_refresh_over_SQL_holds_no_connection(t *testing.T) {
	for name, d := range databases {
		t.Run(name, func(t *testing.T) {
			d.needs(t)
			t.Run("a pool of one", func(t *testing.T) { poolOfOne(t, d) })
			t.Run("panic and cancel", func(t *testing.T) { nothingLeftOpen(t, d) })
			t.Run("no lost update", func(t *testing.T) { noLostUpdate(t, d) })
			if d.kill != nil {
				t.Run("connections killed", func(t *testing.T) { connectionsKilled(t, d) })
			}
		})
	}
}

// poolOfOne has 50 Updates at the authorization server at once, over one connection.
func poolOfOne(t *testing.T, d database) {
	s, _ := d.openPool(t, place(t), 1)
	const sessions = 50
	var at sync.WaitGroup
	at.Add(sessions)
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() {
			err := s.Update(t.Context(), fmt.Sprint("session", i), func(context.Context, []byte) ([]byte, error) {
				at.Done()
				at.Wait() // until all of them are
				return []byte("record"), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// nothingLeftOpen ends Updates in every way there is, and looks at the pool.
func nothingLeftOpen(t *testing.T, d database) {
	s, db := d.openPool(t, place(t), 1)
	for name, next := range map[string]func() ([]byte, error){
		"panic":     func() ([]byte, error) { panic("next") },
		"Goexit":    func() ([]byte, error) { runtime.Goexit(); return nil, nil },
		"error":     func() ([]byte, error) { return nil, errors.New("refused") },
		"unchanged": func() ([]byte, error) { return nil, tokenstore.ErrUnchanged },
		"too large": func() ([]byte, error) { return make([]byte, tokenstore.MaxRecord+1), nil },
	} {
		done := make(chan bool)
		go func() {
			defer close(done)
			defer func() { recover() }()
			ctx, cancel := context.WithCancel(t.Context())
			s.Update(ctx, "key", func(context.Context, []byte) ([]byte, error) { cancel(); return next() })
		}()
		<-done
		if n := db.Stats().InUse; n != 0 {
			t.Errorf("after %s %d connections are in use", name, n)
		}
	}
	for range 100 { // waits that end at every moment
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(time.Now().UnixNano()%int64(3*time.Millisecond)))
		s.Update(ctx, "key", increment)
		s.Load(ctx, "key")
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), answerTime)
	defer cancel()
	if err := s.Update(ctx, "key", increment); err != nil {
		t.Error(err)
	}
	if d.idle != "" {
		var n int
		if err := db.QueryRowContext(ctx, d.idle).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d transactions are left open (%v)", n, err)
		}
	}
}

// noLostUpdate counts with several pools, in every isolation level.
func noLostUpdate(t *testing.T, d database) {
	levels := append([]string{""}, d.levels...)
	for _, level := range levels {
		p := place(t)
		var wg sync.WaitGroup
		const pools, times = 4, 25
		for range pools {
			s, db := d.openPool(t, p, 1)
			if level != "" {
				if _, err := db.Exec(level); err != nil {
					t.Fatal(err)
				}
			}
			wg.Go(func() {
				for range times {
					if err := s.Update(t.Context(), "count", increment); err != nil {
						t.Errorf("%s: %v", level, err)
						return
					}
				}
			})
		}
		wg.Wait()
		s, _ := d.openPool(t, p, 1)
		if got, err := s.Load(t.Context(), "count"); err != nil || string(got) != strconv.Itoa(pools*times) {
			t.Errorf("%s: %s Updates are in the record (%v), want %d", level, got, err, pools*times)
		}
	}
}

// connectionsKilled ends the pool's connections in the middle of statements, and
// holds what Update says against what is stored.
func connectionsKilled(t *testing.T, d database) {
	s, db := d.openPool(t, place(t), 4)
	var sure, unsure atomic.Int64
	end := time.Now().Add(2 * time.Second)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for time.Now().Before(end) {
				called := false
				err := s.Update(t.Context(), "count", func(ctx context.Context, old []byte) ([]byte, error) {
					called = true
					return increment(ctx, old)
				})
				switch {
				case err == nil:
					sure.Add(1)
				case called && !errors.Is(err, tokenstore.ErrConflict):
					unsure.Add(1)
				}
			}
		})
	}
	kills := 0
	for time.Now().Before(end) {
		kills += d.kill(t, db)
		time.Sleep(30 * time.Millisecond)
	}
	wg.Wait()
	got, err := s.Load(t.Context(), "count")
	if err != nil {
		got, err = s.Load(t.Context(), "count") // over a connection that was killed
	}
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(got)), 10, 64)
	if err != nil || n < sure.Load() || n > sure.Load()+unsure.Load() {
		t.Errorf("%d Updates are in the record (%v), want %d and up to %d more", n, err, sure.Load(), unsure.Load())
	}
	if kills < 10 || sure.Load() < 10 {
		t.Errorf("%d connections killed, %d Updates: that was no test", kills, sure.Load())
	}
}
