//go:build unix

package storetests_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// The benchmarks of the stores, with names that benchstat reads:
//
//	go test -run='^$' -bench=. -timeout=30m .
//
// They take five minutes. A process that dies costs a whole lease, and a crowd a few
// seconds: -bench=Stores leaves them out.
//
// TestBenchmarks and TestNothingRuns_after_an_Update run what they measure, but measure
// nothing.

// A benched store is one whose speed is measured, over a pool that keeps all of
// its connections.
type benched struct {
	name  string
	needs func(t testing.TB)
	open  func(t testing.TB) tokenstore.Store
}

// benchCallers is how many callers a parallel benchmark has for each processor, and
// benchPool how many connections they share.
const (
	benchCallers = 4
	benchPool    = 16
)

var benchedStores = []benched{
	{"Memory", nothing, func(testing.TB) tokenstore.Store { return new(tokenstore.Memory) }},
	{"Dir", nothing, func(t testing.TB) tokenstore.Store { return tokenstore.Dir(filepath.Join(newPlace(t), "tokens")) }},
	{"Sealed", nothing, openSealed},
	{"Table", needsPostgres, func(t testing.TB) tokenstore.Store { return Table{keeping(openTable(t, newPlace(t)))} }},
	benchedDatabase("SQLite"),
	benchedDatabase("PostgreSQL"),
	benchedDatabase("MariaDB"),
	{"Redis", needsRedis, func(t testing.TB) tokenstore.Store { return openRedis(t, newPlace(t), leases{}) }},
}

func nothing(testing.TB) {}

// openSealed returns a Sealed over a Memory: what it takes beyond that is the
// sealing.
func openSealed(t testing.TB) tokenstore.Store {
	t.Helper()
	key, err := tokenstore.GenerateSealKey("bench")
	if err != nil {
		t.Fatal(err)
	}
	s, err := tokenstore.NewSealed(new(tokenstore.Memory), key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func benchedDatabase(name string) benched {
	d := databases[name]
	return benched{name, d.needs, func(t testing.TB) tokenstore.Store {
		s, db := d.openPool(t, place(t), benchPool)
		keeping(db)
		return s
	}}
}

// keeping has a pool keep its connections: database/sql closes all but two as soon
// as they are idle.
func keeping(db *sql.DB) *sql.DB {
	db.SetMaxOpenConns(benchPool)
	db.SetMaxIdleConns(benchPool)
	return db
}

// A load is what is done again and again with one key, which has a record.
type load struct {
	store   tokenstore.Store
	key     string
	records [2][]byte // written in turn: a store may skip what is there already
}

// newLoad returns a load with a key of its own, and an access token of that size.
func newLoad(t testing.TB, store tokenstore.Store, key string, token int) *load {
	t.Helper()
	l := &load{store: store, key: key}
	for i := range l.records {
		l.records[i] = benchRecord(t, token, i)
	}
	if err := l.update(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return l
}

// benchRecord returns a session's record as a login leaves it.
func benchRecord(t testing.TB, token, turn int) []byte {
	t.Helper()
	now := time.Now()
	r := tokenstore.Record{
		Issuer: "https://login.example.com", ClientID: "app", Account: "alice@example.com",
		Session: tokenstore.NewSessionID(""), Scope: "openid offline_access",
		RefreshToken: tokenstore.NewSecret(strings.Repeat(string(rune('a'+turn)), 64)),
	}
	r.SetToken(tokenstore.AccessToken{
		Token: tokenstore.NewSecret(strings.Repeat(string(rune('A'+turn)), token)), Issued: now, Expiry: now.Add(time.Hour),
	})
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (l *load) load(ctx context.Context, _ int) error {
	_, err := l.store.Load(ctx, l.key)
	return err
}

func (l *load) update(ctx context.Context, i int) error {
	record := l.records[i%len(l.records)]
	return l.store.Update(ctx, l.key, func(_ context.Context, old []byte) ([]byte, error) {
		if bytes.Equal(old, record) {
			return nil, fmt.Errorf("update %d would change nothing", i)
		}
		return record, nil
	})
}

// benchedOps are what is measured. i counts the calls for one load.
var benchedOps = []struct {
	name string
	do   func(l *load, ctx context.Context, i int) error
}{
	{"Load", (*load).load},
	{"Update", (*load).update},
}

func BenchmarkStores(b *testing.B) {
	for _, s := range benchedStores {
		b.Run("store="+s.name, func(b *testing.B) {
			s.needs(b)
			store := s.open(b)
			for _, op := range benchedOps {
				for _, token := range []int{64, 1024} {
					name := fmt.Sprintf("op=%s/token=%d", op.name, token)
					b.Run(name+"/mode=serial", func(b *testing.B) { serial(b, store, token, op.do) })
					b.Run(name+"/mode=parallel", func(b *testing.B) { parallel(b, store, token, op.do) })
				}
			}
		})
	}
}

func serial(b *testing.B, store tokenstore.Store, token int, do func(*load, context.Context, int) error) {
	l, ctx := newLoad(b, store, "serial", token), b.Context()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := do(l, ctx, i); err != nil {
			b.Fatal(err)
		}
	}
}

// parallel has several callers, each with a key of its own. What they take is the
// time of all divided by the calls of all.
func parallel(b *testing.B, store tokenstore.Store, token int, do func(*load, context.Context, int) error) {
	loads := make(chan *load, benchCallers*runtime.GOMAXPROCS(0))
	for i := range cap(loads) {
		loads <- newLoad(b, store, fmt.Sprint("parallel", i), token)
	}
	ctx := b.Context()
	b.ReportAllocs()
	b.SetParallelism(benchCallers)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		l := <-loads
		for i := 0; pb.Next(); i++ {
			if err := do(l, ctx, i); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
