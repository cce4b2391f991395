package redisstore_test

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/redisstore"
	"github.com/freshet-go/freshet/tokenstore/storetest"
)

// dial returns a client of the Redis that REDIS_URL names, or else of this
// machine's.
func dial(t *testing.T) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(cmp.Or(os.Getenv("REDIS_URL"), "redis://127.0.0.1:6379"))
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(options)
	t.Cleanup(func() { c.Close() })
	return c
}

func needsRedis(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := dial(t).Ping(ctx).Err(); err != nil {
		testenv.Missing(t, "no Redis answers (see REDIS_URL): %v", err)
	}
}

const testLease = 6 * time.Second

// open returns a store whose keys begin with the name of the place. They go with
// the test.
func open(t *testing.T, place string) *redisstore.Store {
	t.Helper()
	prefix := filepath.Base(place) + ":"
	c := dial(t)
	s, err := redisstore.New(redisstore.Config{Client: c, Prefix: prefix, Lease: testLease})
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

func TestSealedStore(t *testing.T) {
	needsRedis(t)
	key, err := tokenstore.NewSealKey("test", []byte("a key of all processes of a test"))
	if err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, storetest.Config{
		Open: func(t *testing.T, place string) tokenstore.Store {
			s, err := tokenstore.NewSealed(open(t, place), key)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Shared:    true,
		Takeover:  2 * testLease,
		MaxRecord: tokenstore.MaxRecord - 128,
	})
}

func TestStore(t *testing.T) {
	needsRedis(t)
	storetest.Run(t, storetest.Config{
		Open:     func(t *testing.T, place string) tokenstore.Store { return open(t, place) },
		Shared:   true,
		Takeover: 2 * testLease,
	})
}
