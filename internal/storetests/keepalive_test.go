package storetests_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
)

// A peak is the most that was seen of something.
type peak struct{ heap, goroutines, connections int64 }

// watch looks until done is closed.
func watch(db *sql.DB, done <-chan bool) (p peak) {
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		p.heap = max(p.heap, int64(m.HeapInuse))
		p.goroutines = max(p.goroutines, int64(runtime.NumGoroutine()))
		p.connections = max(p.connections, int64(db.Stats().OpenConnections))
		select {
		case <-done:
			return p
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// One process keeps many sessions alive, all of which are due, at a token endpoint
// that takes two seconds: 200 sessions for each second of FRESHET_TEST_TIME, so 500s
// are 100,000.
func TestKeepAlive_of_many_sessions(t *testing.T) {
	n := int(testenv.Time(t)/time.Second) * 200
	const pool = 8
	concurrency := min(n/2, 1000)
	srv := testserver.NewLoopback()
	defer srv.Close()
	srv.Log().Keep(0)
	srv.UpdatePolicy(func(p *testserver.Policy) { p.TokenLatency, p.AccessLifetime = 2*time.Second, 24*time.Hour })

	d := databases["SQLite"]
	store, db := d.openPool(t, place(t), pool)
	cfg := client.Config{
		Issuer: srv.Issuer(), ClientID: "app", Store: store, TokenClient: srv.Client(),
		Endpoint: oauth2.Endpoint{TokenURL: srv.TokenURL()},
	}
	fill(t, srv, cfg, n)
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}

	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan bool)
	var seen peak
	var wg sync.WaitGroup
	wg.Go(func() { seen = watch(db, done) })
	wg.Go(func() { c.KeepAlive(ctx, client.KeepAliveConfig{Concurrency: concurrency}) })
	began := time.Now()
	for limit := began.Add(10 * time.Minute); srv.Log().Refreshes() < n && time.Now().Before(limit); {
		time.Sleep(50 * time.Millisecond)
	}
	took := time.Since(began)
	time.Sleep(3 * time.Second) // a refresh too many would come now
	cancel()
	close(done)
	wg.Wait()
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("%d sessions, %d at once, refreshed in %v; at the most %d MiB of heap more (%d bytes a session), %d goroutines and %d connections",
		n, concurrency, took.Round(time.Second/10), (seen.heap-int64(before.HeapInuse))>>20, (seen.heap-int64(before.HeapInuse))/int64(n),
		seen.goroutines, seen.connections)
	if got := srv.Log().Refreshes(); got != n || srv.Log().Reused() != 0 {
		t.Errorf("%d refreshes of %d sessions, %d tokens sent twice", got, n, srv.Log().Reused())
	}
	if seen.connections > pool {
		t.Errorf("%d connections to the database", seen.connections)
	}
	if limit := int64(goroutines + 12*concurrency + 100); seen.goroutines > limit { // a few for each refresh, and for its connections at both ends
		t.Errorf("%d goroutines, want %d at the most", seen.goroutines, limit)
	}
}

// The server is down while a thousand sessions are due: it is not stormed, others get
// a connection to the database all the time, and soon afterwards every session is
// fresh.
func TestKeepAlive_through_an_outage_of_the_server(t *testing.T) {
	const n, pool = 1000, 10
	d := databases["PostgreSQL"]
	d.needs(t)
	srv := testserver.NewLoopback()
	defer srv.Close()
	srv.Log().Keep(0)
	store, db := d.openPool(t, place(t), pool)
	cfg := client.Config{
		Issuer: srv.Issuer(), ClientID: "app", Store: store, TokenClient: srv.Client(),
		Endpoint: oauth2.Endpoint{TokenURL: srv.TokenURL()},
	}
	fill(t, srv, cfg, n)
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { // somebody else who uses the pool
		for ctx.Err() == nil {
			foreign, done := context.WithTimeout(ctx, answerTime)
			var one int
			if err := db.QueryRowContext(foreign, `SELECT 1`).Scan(&one); err != nil && ctx.Err() == nil {
				t.Errorf("no connection for others: %v", err)
			}
			done()
			time.Sleep(20 * time.Millisecond)
		}
	})
	srv.Inject(testserver.OnToken, testserver.Always, testserver.Status(503))
	wg.Go(func() { c.KeepAlive(ctx, client.KeepAliveConfig{}) })
	down := testenv.Time(t)
	time.Sleep(down)
	during := srv.Log().TokenRequests()
	if limit := 64 + 8 + 3 + int(down/(5*time.Second)); during > limit { // those that were on their way, and probes
		t.Errorf("%d token requests in %v, want %d at the most", during, down, limit)
	}
	srv.ClearFaults()
	healed := time.Now()
	for limit := healed.Add(time.Minute); srv.Log().Refreshes() < n && time.Now().Before(limit); {
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("%d sessions, server down for %v: %d token requests meanwhile, all fresh %v after it, %d waits for a connection",
		n, down, during, time.Since(healed).Round(time.Second/10), db.Stats().WaitCount)
	if got := srv.Log().Refreshes(); got != n || srv.Log().Reused() != 0 {
		t.Errorf("%d refreshes of %d sessions, %d tokens sent twice", got, n, srv.Log().Reused())
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// fill stores n sessions whose access tokens have expired.
func fill(t *testing.T, srv *testserver.Server, cfg client.Config, n int) {
	t.Helper()
	next := make(chan int)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range next {
				account := fmt.Sprint("account", i)
				record := expired(t, srv, cfg, account)
				err := cfg.Store.Update(t.Context(), keyOf(cfg, account), func(context.Context, []byte) ([]byte, error) { return record, nil })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func expired(t *testing.T, srv *testserver.Server, cfg client.Config, account string) []byte {
	tokens := srv.BeginSession(account)
	rec := tokenstore.Record{
		Issuer: cfg.Issuer, ClientID: cfg.ClientID, Account: account,
		Session: tokenstore.NewSessionID(""), Generation: 1, RefreshToken: tokenstore.NewSecret(tokens.RefreshToken),
	}
	rec.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret(tokens.AccessToken), Issued: time.Now().Add(-2 * time.Hour), Expiry: time.Now().Add(-time.Hour)})
	b, err := rec.Encode()
	if err != nil {
		t.Error(err)
	}
	return b
}

// keyOf returns the key of a session, as package client makes it.
func keyOf(cfg client.Config, account string) string {
	hash := func(n int, parts ...string) string {
		h := sha256.New()
		for _, part := range parts {
			binary.Write(h, binary.BigEndian, uint64(len(part)))
			io.WriteString(h, part)
		}
		return hex.EncodeToString(h.Sum(nil)[:n])
	}
	return hash(16, cfg.Issuer, cfg.ClientID) + "." + hash(32, account)
}
