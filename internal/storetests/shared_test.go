//go:build unix

package storetests_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/redisstore"
	"github.com/freshet-go/freshet/tokenstore/sqlstore"
)

// A shared store is one that several processes use at once.
type shared struct {
	needs func(t testing.TB)

	// open returns the store of a place, which a process that has its name can
	// open, too. What it makes goes with the test that came first.
	open func(t testing.TB, place string, l leases) tokenstore.Store

	// leased says that an Update has a lease, which runs out while its process is
	// stopped. Other stores have a lock, which it keeps until it dies.
	leased bool
}

// Leases are the times of a store that has them.
type leases struct{ Length, Settle time.Duration }

var sharedStores = map[string]shared{
	"Dir": {
		needs: func(testing.TB) {},
		open: func(_ testing.TB, place string, _ leases) tokenstore.Store {
			return tokenstore.Dir(filepath.Join(place, "tokens"))
		},
	},
	"Table": {
		needs: needsPostgres,
		open:  func(t testing.TB, place string, _ leases) tokenstore.Store { return Table{small(openTable(t, place))} },
	},
	"PostgreSQL": databases["PostgreSQL"].shared(),
	"MariaDB":    databases["MariaDB"].shared(),
	"SQLite":     databases["SQLite"].shared(),
	"Redis":      {needs: needsRedis, open: openRedis, leased: true},
}

func (d database) shared() shared {
	return shared{needs: d.needs, leased: true, open: func(t testing.TB, place string, l leases) tokenstore.Store {
		t.Helper()
		s, err := sqlstore.New(sqlstore.Config{DB: small(d.open(t, place)), Dialect: d.dialect, Lease: l.Length, Settle: l.Settle})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		if err := s.CreateTable(ctx); err != nil {
			t.Fatal(err)
		}
		return s
	}}
}

// small keeps a pool from taking more connections than a process with one session
// can use: the database has a hundred for all.
func small(db *sql.DB) *sql.DB {
	db.SetMaxOpenConns(2)
	return db
}

// dialRedis returns a client of the Redis that REDIS_URL names, or else of this
// machine's.
func dialRedis(t testing.TB) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(cmp.Or(os.Getenv("REDIS_URL"), "redis://127.0.0.1:6379"))
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(options)
	t.Cleanup(func() { c.Close() })
	return c
}

func needsRedis(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerTime)
	defer cancel()
	if err := dialRedis(t).Ping(ctx).Err(); err != nil {
		testenv.Missing(t, "no Redis answers (see REDIS_URL): %v", err)
	}
}

func openRedis(t testing.TB, place string, l leases) tokenstore.Store {
	t.Helper()
	prefix := filepath.Base(place) + ":"
	c := dialRedis(t)
	s, err := redisstore.New(redisstore.Config{Client: c, Prefix: prefix, Lease: l.Length, Settle: l.Settle})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		for i := c.Scan(ctx, 0, prefix+"*", 1000).Iterator(); i.Next(ctx); {
			c.Del(ctx, i.Val())
		}
	})
	return s
}

// newPlace returns a new directory. Its name is that of the schema or the prefix
// where the store is no file.
func newPlace(t testing.TB) string {
	t.Helper()
	place := filepath.Join(t.TempDir(), "freshet_"+strings.ToLower(rand.Text()))
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	return place
}

// onStores runs f for each shared store, or for each that has leases, as a subtest
// of the store's name. So many of them run at once: they wait more than they work.
func onStores(t *testing.T, atOnce int, leasedOnly bool, f func(t *testing.T, name string, s shared)) {
	t.Helper()
	room := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for _, name := range slices.Sorted(maps.Keys(sharedStores)) {
		s := sharedStores[name]
		if leasedOnly && !s.leased {
			continue
		}
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			t.Run(name, func(t *testing.T) {
				s.needs(t)
				f(t, name, s)
			})
		})
	}
	wg.Wait()
}
