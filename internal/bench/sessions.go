package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/tokenstore"
)

// How many sessions one process has here. With a million loaded the table takes two
// minutes more.
var loadedSessions = flag.Int("sessions", 200_000, "how many `sessions` are loaded for the table of that name")

const (
	keptSessions  = 100_000
	firstRequests = 2_000
)

const tokenSize = 64

// sessionsTable is what many sessions in one process cost. It is of Freshet alone: the
// others leave it to the program to keep what they make.
func sessionsTable(*figures) table {
	t := table{title: "Many sessions in one process", head: []string{"", ""}}
	size, goroutines, c := loadSessions(*loadedSessions)
	t.add(thousands(*loadedSessions)+" sessions loaded: memory of each, beside the texts of its two tokens", fmt.Sprint(size, " B"))
	t.add("… goroutines", goroutines)
	t.add("… `Client.Session`, called by one goroutine / by one on each processor", asked(*loadedSessions, func(name string) { c.Session(name) }))
	runtime.KeepAlive(c)
	t.add("… a map of that size, without a lock", asked(*loadedSessions, plainMap(*loadedSessions)))
	for _, s := range stores() {
		t.add("first request of a session that lies in a `"+s.name+"`", s.firstRequest())
		s.remove()
	}
	size, goroutines = keepAlive(keptSessions)
	t.add("`KeepAlive` of "+thousands(keptSessions)+" sessions: memory of each", fmt.Sprint(size, " B"))
	t.add("… goroutines", goroutines)
	return t
}

// A shelf is a store that has a session for every account, and keeps nothing: it makes the
// record for the account that is loaded at the moment.
type shelf struct {
	record  []byte // of userName(0)
	account string
}

func newShelf() *shelf {
	rec := session(userName(0))
	b, err := rec.Encode()
	if err != nil {
		panic(err)
	}
	return &shelf{record: b}
}

func (s *shelf) Load(context.Context, string) ([]byte, error) {
	return bytes.ReplaceAll(s.record, []byte(userName(0)), []byte(s.account)), nil
}

func (s *shelf) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	_, err := next(ctx, nil)
	return err
}

func (s *shelf) Delete(context.Context, string) error { return nil }

const issuerURL = "https://auth.example.com"

// session returns the record of a session whose token is fresh for an hour.
func session(account string) tokenstore.Record {
	now := time.Now()
	text := func(kind string) tokenstore.Secret {
		return tokenstore.NewSecret(kind + strings.Repeat("x", tokenSize-len(kind)))
	}
	return tokenstore.Record{
		Issuer: issuerURL, ClientID: "app", Account: account, Session: tokenstore.NewSessionID(""), Generation: 7,
		Scope: "openid profile", RefreshToken: text("rt-"),
		Access: []tokenstore.AccessToken{{Token: text("at-"), Type: "Bearer", Issued: now, Expiry: now.Add(time.Hour), Generation: 7}},
	}
}

func newClient(store tokenstore.Store) *client.Client {
	c, err := client.New(client.Config{
		Issuer: issuerURL, ClientID: "app", ClientSecret: "secret", Store: store, Base: api{},
		Endpoint: oauth2.Endpoint{TokenURL: issuerURL + "/token"},
	})
	if err != nil {
		panic(err)
	}
	return c
}

func userName(i int) string { return fmt.Sprintf("user-%07d@example.com", i) }

// loadSessions loads n sessions, and returns what each takes beside its tokens, and the
// goroutines that stay.
func loadSessions(n int) (size, goroutines int, c *client.Client) {
	store := newShelf()
	c = newClient(store)
	before, running := heap(), runtime.NumGoroutine()
	for i := range n {
		store.account = userName(i)
		if _, err := c.Session(store.account).Token(context.Background()); err != nil {
			panic(err)
		}
	}
	size = int(heap()-before)/n - 2*tokenSize
	return size, runtime.NumGoroutine() - running, c
}

// heap returns the bytes in use.
func heap() uint64 {
	time.Sleep(50 * time.Millisecond) // what has ended is gone
	return memory().HeapAlloc
}

func plainMap(n int) (ask func(name string)) {
	m := make(map[string]*int)
	for i := range n {
		m[userName(i)] = &i
	}
	return func(name string) {
		if m[name] == nil {
			panic(name)
		}
	}
}

func asked(n int, ask func(name string)) string {
	return fmt.Sprintf("%v / %v", askFor(ask, n, 1), askFor(ask, n, runtime.GOMAXPROCS(0)))
}

// askFor returns how long it takes to ask for one of n sessions in that many goroutines
// at once, each of which asks for others. The names are at hand, as they are in programs.
func askFor(ask func(name string), n, goroutines int) time.Duration {
	const batches, batch = 400, 500
	took := make([]time.Duration, goroutines)
	all(goroutines, func(g int) {
		names := make([]string, batch)
		for b := range batches {
			for i := range names {
				names[i] = userName(((g*batches+b)*batch + i) * 7919 % n)
			}
			began := time.Now()
			for _, name := range names {
				ask(name)
			}
			took[g] += time.Since(began)
		}
	})
	return slices.Max(took) / (batches * batch)
}

// A stocked is a store with firstRequests sessions in it.
type stocked struct {
	name string
	tokenstore.Store
	remove func()
}

func stores() []stocked {
	dir, err := os.MkdirTemp("", "freshet-bench-")
	if err != nil {
		panic(err)
	}
	return []stocked{
		{"Memory", new(tokenstore.Memory), func() {}},
		{"Dir", tokenstore.Dir(dir), func() { os.RemoveAll(dir) }},
	}
}

// fill begins n sessions in store.
func fill(store tokenstore.Store, n int) {
	c := newClient(store)
	for i := range n {
		rec := session(userName(i))
		tok := &oauth2.Token{RefreshToken: rec.RefreshToken.Reveal(), AccessToken: rec.Access[0].Token.Reveal(), Expiry: rec.Access[0].Expiry}
		if err := c.Session(userName(i)).Import(context.Background(), tok); err != nil {
			panic(err)
		}
	}
}

// firstRequest returns how long one takes to an API that answers at once.
func (s stocked) firstRequest() time.Duration {
	fill(s, firstRequests)
	c := newClient(s)
	began := time.Now()
	for i := range firstRequests {
		resp, err := c.Session(userName(i)).Transport().RoundTrip(request(context.Background(), 6))
		if err != nil || resp.StatusCode != http.StatusOK {
			panic(fmt.Sprint(resp, err))
		}
	}
	return (time.Since(began) / firstRequests).Round(100 * time.Nanosecond)
}

// A counted is a store that counts.
type counted struct {
	*tokenstore.Memory
	loads atomic.Int32
}

func (c *counted) Load(ctx context.Context, key string) ([]byte, error) {
	c.loads.Add(1)
	return c.Memory.Load(ctx, key)
}

// keepAlive has KeepAlive look at n sessions in a store, and returns what it takes until
// their time comes.
func keepAlive(n int) (size, goroutines int) {
	store := &counted{Memory: new(tokenstore.Memory)}
	fill(store, n)
	c := newClient(store)
	store.loads.Store(0)
	before, running := heap(), runtime.NumGoroutine()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.KeepAlive(ctx, client.KeepAliveConfig{})
	}()
	for int(store.loads.Load()) < n {
		time.Sleep(10 * time.Millisecond)
	}
	size = int(heap()-before) / n
	goroutines = runtime.NumGoroutine() - running
	stop()
	<-ended
	return size, goroutines
}
