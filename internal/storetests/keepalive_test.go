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
	fill(t, srv, cfg, db, n)
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

// fill stores n sessions whose access tokens have expired.
func fill(t *testing.T, srv *testserver.Server, cfg client.Config, db *sql.DB, n int) {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for i := range n {
		account := fmt.Sprint("account", i)
		tokens := srv.BeginSession(account)
		rec := tokenstore.Record{
			Issuer: cfg.Issuer, ClientID: cfg.ClientID, Account: account,
			Session: tokenstore.NewSessionID(""), Generation: 1, RefreshToken: tokenstore.NewSecret(tokens.RefreshToken),
		}
		rec.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret(tokens.AccessToken), Issued: time.Now().Add(-2 * time.Hour), Expiry: time.Now().Add(-time.Hour)})
		b, err := rec.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(`INSERT INTO freshet_sessions (name, record, version, lease_owner, lease_end) VALUES (?, ?, 1, '', 0)`, keyOf(cfg, account), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
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
