//go:build unix

package storetests_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/redisstore"
	"github.com/freshet-go/freshet/tokenstore/sqlstore"
	"github.com/freshet-go/freshet/transport"
)

// Lease and settle time of the stores that fail, longer than any failure here.
const (
	outageLease  = 8 * time.Second
	outageSettle = 2 * time.Second
)

// A served is a database on a server that can be away.
type served struct {
	needs func(t testing.TB)
	addr  func(t *testing.T) string

	// open returns a store over the server at host and port, and another one that
	// goes there directly, which is not to fail.
	open func(t *testing.T, place, host string, port int) (through tokenstore.Store, direct rows)
}

// Rows are what a database has, and can lose.
type rows struct {
	tokenstore.Store
	copy func() any // of everything
	set  func(any)  // back to a copy; nil is an empty database
}

var servedStores = map[string]served{
	"PostgreSQL": {
		needs: needsPostgres,
		addr: func(t *testing.T) string {
			cfg := settings(t)
			return fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)
		},
		open: func(t *testing.T, place, host string, port int) (tokenstore.Store, rows) {
			direct := databases["PostgreSQL"].direct(t, place)
			cfg := settings(t)
			cfg.Host, cfg.Port, cfg.RuntimeParams["search_path"] = host, uint16(port), filepath.Base(place)
			cfg.Fallbacks, cfg.TLSConfig = nil, nil // which lead past the proxy
			db := stdlib.OpenDB(*cfg)
			t.Cleanup(func() { db.Close() })
			return databases["PostgreSQL"].over(t, db), direct
		},
	},
	"MariaDB": {
		needs: needsMariaDB,
		addr:  func(*testing.T) string { return mariaDB().Addr },
		open: func(t *testing.T, place, host string, port int) (tokenstore.Store, rows) {
			direct := databases["MariaDB"].direct(t, place)
			cfg := mariaDB()
			cfg.Addr, cfg.DBName = fmt.Sprintf("%s:%d", host, port), "freshet_"+filepath.Base(place)
			return databases["MariaDB"].over(t, openMySQL(t, cfg)), direct
		},
	},
	"Redis": {
		needs: needsRedis,
		addr:  func(t *testing.T) string { return dialRedis(t).Options().Addr },
		open: func(t *testing.T, place, host string, port int) (tokenstore.Store, rows) {
			to := dialRedis(t).Options()
			c := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("%s:%d", host, port), Username: to.Username, Password: to.Password, DB: to.DB})
			t.Cleanup(func() { c.Close() })
			s, err := redisstore.New(redisstore.Config{Client: c, Prefix: filepath.Base(place) + ":", Lease: outageLease, Settle: outageSettle})
			if err != nil {
				t.Fatal(err)
			}
			return s, redisRows(t, place)
		},
	},
}

func (d database) over(t *testing.T, db *sql.DB) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(sqlstore.Config{DB: small(db), Dialect: d.dialect, Lease: outageLease, Settle: outageSettle})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (d database) direct(t *testing.T, place string) rows {
	t.Helper()
	db := d.open(t, place)
	s := d.over(t, db)
	if err := s.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec := func(statement string) {
		t.Helper()
		if _, err := db.Exec(statement); err != nil {
			t.Error(err)
		}
	}
	return rows{Store: s,
		copy: func() any {
			name := fmt.Sprint("copy_", time.Now().UnixNano())
			exec(`CREATE TABLE ` + name + ` AS SELECT * FROM freshet_sessions`)
			return name
		},
		set: func(to any) {
			exec(`DELETE FROM freshet_sessions`)
			if to != nil {
				exec(`INSERT INTO freshet_sessions SELECT * FROM ` + to.(string))
			}
		},
	}
}

func redisRows(t *testing.T, place string) rows {
	t.Helper()
	c, ctx, pattern := dialRedis(t), context.Background(), filepath.Base(place)+":*"
	return rows{Store: openRedis(t, place, leases{outageLease, outageSettle}),
		copy: func() any {
			dumps := make(map[string]string)
			for _, key := range c.Keys(ctx, pattern).Val() {
				dumps[key] = c.Dump(ctx, key).Val()
			}
			return dumps
		},
		set: func(to any) {
			for _, key := range c.Keys(ctx, pattern).Val() {
				c.Del(ctx, key)
			}
			if to == nil {
				return
			}
			for key, dump := range to.(map[string]string) {
				if err := c.RestoreReplace(ctx, key, 0, dump).Err(); err != nil {
					t.Error(err)
				}
			}
		},
	}
}

// armed calls hook when an Update has a record to write.
type armed struct {
	tokenstore.Store
	hook func()
}

func (a *armed) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	return a.Store.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
		record, err := next(ctx, old)
		if err == nil && a.hook != nil {
			a.hook()
		}
		return record, err
	})
}

// An outage is one session of two processes over a database that fails.
type outage struct {
	*testing.T
	*proxy
	srv   *testserver.Server
	store *armed
	rows  rows
	a, b  *client.Session
}

const outageLifetime = 2 * time.Second

func newOutage(t *testing.T, s served) *outage {
	t.Helper()
	s.needs(t)
	o := &outage{T: t, proxy: newProxy(t, s.addr(t)), srv: testserver.NewLoopback()}
	t.Cleanup(o.srv.Close)
	o.srv.UpdatePolicy(func(p *testserver.Policy) { p.AccessLifetime = outageLifetime })
	through, direct := s.open(t, newPlace(t), "127.0.0.1", o.addr().Port)
	o.store, o.rows = &armed{Store: through}, direct
	session := func(store tokenstore.Store) *client.Session {
		c, err := client.New(client.Config{
			Issuer: o.srv.Issuer(), ClientID: "app", Store: store, TokenClient: o.srv.Client(), RefreshTimeout: 4 * time.Second,
			Endpoint: oauth2.Endpoint{TokenURL: o.srv.TokenURL()},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if err := c.Close(ctx); err != nil {
				t.Error(err)
			}
		})
		return c.Session("alice")
	}
	o.a, o.b = session(o.store), session(through)
	tok := &oauth2.Token{RefreshToken: o.srv.BeginSession("alice").RefreshToken}
	if err := o.a.Import(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	o.mustToken(o.a)
	o.mustToken(o.b)
	return o
}

func (o *outage) mustToken(s *client.Session) transport.Token {
	o.Helper()
	tok, err := s.Token(o.Context())
	if err != nil {
		o.Error(err)
	}
	return tok
}

// stored returns what the database holds.
func (o *outage) stored() (rec tokenstore.Record) {
	o.Helper()
	for key, err := range tokenstore.Keys(o.Context(), o.rows.Store) {
		if err != nil {
			o.Error(err)
			break
		}
		b, err := o.rows.Load(o.Context(), key)
		if err == nil {
			rec, err = tokenstore.DecodeRecord(b)
		}
		if err != nil {
			o.Error(err)
		}
	}
	return rec
}

// await waits until both have a token, nothing is unsaved, and the newest refresh
// token of the server is in the store.
func (o *outage) await() {
	o.Helper()
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, err1 := o.a.Token(o.Context())
		_, err2 := o.b.Token(o.Context())
		unsaved := o.a.Status().Unsaved || o.b.Status().Unsaved
		newest := ""
		for _, e := range o.srv.Log().Entries() {
			if e.NewRefreshToken != "" {
				newest = e.NewRefreshToken
			}
		}
		if err1 == nil && err2 == nil && !unsaved && o.stored().RefreshToken.Reveal() == newest {
			break
		}
		if time.Now().After(limit) {
			o.Fatalf("after the outage: %v, %v, unsaved %t, stored %v, newest %s", err1, err2, unsaved, o.stored(), testserver.Fingerprint(newest))
		}
	}
	if n := o.srv.Log().Reused(); n != 0 {
		o.Errorf("%d refresh tokens were sent twice", n)
	}
}

func outages(t *testing.T, f func(o *outage)) {
	t.Helper()
	var wg sync.WaitGroup
	for name, s := range servedStores {
		wg.Go(func() { t.Run(name, func(t *testing.T) { f(newOutage(t, s)) }) }) // they wait more than they work
	}
	wg.Wait()
}

func TestOutage_of_the_database(t *testing.T) {
	outages(t, func(o *outage) {
		time.Sleep(outageLifetime) // the token is to be refreshed
		valid := o.mustToken(o.a)
		refreshes := o.srv.Log().Refreshes()
		o.set(true)
		for time.Now().Before(valid.Expiry().Add(-200 * time.Millisecond)) {
			if tok := o.mustToken(o.a); tok.Reveal() != valid.Reveal() {
				o.Error("another token")
			}
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(400 * time.Millisecond)
		for range 20 {
			_, err := o.a.Token(o.Context())
			var re *transport.RefreshError
			if !errors.As(err, &re) || re.Kind != transport.StoreFailed {
				o.Errorf("without the database: %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := o.srv.Log().Refreshes(); n != refreshes {
			o.Errorf("%d refreshes without the exclusion", n-refreshes)
		}
		o.set(false)
		o.await()
	})
}

func TestOutage_of_the_database_during_a_refresh(t *testing.T) {
	outages(t, func(o *outage) {
		time.Sleep(outageLifetime)
		o.store.hook = func() { o.set(true); o.store.hook = nil }
		tok := o.mustToken(o.a) // which is not saved
		if st := o.a.Status(); !st.Unsaved || tok.Expiry() != st.Expiry {
			o.Errorf("Status %+v", st)
		}
		if o.stored().Generation != 2 {
			o.Errorf("stored is %v", o.stored())
		}
		time.Sleep(min(testenv.Time(o.T), 5*time.Second)) // less than lease and settle time
		o.set(false)
		o.await()
	})
}

func TestOutage_in_the_middle_of_a_commit(t *testing.T) {
	outages(t, func(o *outage) {
		for _, c := range []cut{{1, false}, {1, true}, {2, false}, {2, true}, {3, true}} {
			time.Sleep(outageLifetime)
			refreshes := o.srv.Log().Refreshes()
			o.store.hook = func() { o.arm(c); o.store.hook = nil }
			o.mustToken(o.a)
			o.arm(cut{})
			o.await()
			if n := o.srv.Log().Refreshes() - refreshes; n > 2 {
				o.Errorf("%+v: %d refreshes", c, n)
			}
		}
	})
}

func TestOutage_after_which_the_database_is_empty_or_older(t *testing.T) {
	outages(t, func(o *outage) {
		older := o.rows.copy()
		time.Sleep(outageLifetime)
		o.mustToken(o.a)
		for _, to := range []any{nil, older} {
			o.rows.set(to) // while nothing is under way
			time.Sleep(outageLifetime)
			o.mustToken(o.a)
			o.await()
			time.Sleep(outageLifetime)
			o.store.hook = func() { o.rows.set(to); o.store.hook = nil } // in the middle of a refresh, and the lease is gone
			o.mustToken(o.a)
			o.await()
		}
	})
}
