package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A crew is clients, as of several hosts, over one store and one server. The first
// is that of the fixture, whose session of alice is left alone.
type crew struct {
	*fixture
	clients []*Client
}

// newCrew returns a crew of the given size, and sessions named 0, 1 and so on that
// nobody of it has in memory.
func newCrew(t *testing.T, size, sessions int, change ...func(*Config)) *crew {
	t.Helper()
	cr := &crew{fixture: newFixture(t, change...)}
	if err := cr.session.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range size {
		c, err := New(cr.config())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(context.Background()) })
		cr.clients = append(cr.clients, c)
	}
	for i := range sessions {
		cr.login(t, fmt.Sprint(i))
	}
	return cr
}

func (cr *crew) config() Config {
	cfg := *cr.client.cfg
	cfg.ClientSecret = testSecret
	return cfg
}

// login begins a session by way of a client that is gone then.
func (cr *crew) login(t *testing.T, account string) {
	t.Helper()
	c, err := New(cr.config())
	if err != nil {
		t.Fatal(err)
	}
	tokens := cr.BeginSession(account)
	tok := &oauth2.Token{AccessToken: tokens.AccessToken, RefreshToken: tokens.RefreshToken, Expiry: time.Now().Add(tokens.ExpiresIn)}
	if err := c.Session(account).Import(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// keep has every client keep the sessions alive, until the test ends or stop does.
func (cr *crew) keep(t *testing.T, cfg KeepAliveConfig) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, c := range cr.clients {
		wg.Go(func() {
			if err := c.KeepAlive(ctx, cfg); !errors.Is(err, context.Canceled) {
				t.Errorf("KeepAlive = %v", err)
			}
		})
	}
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

// refreshes returns when the sessions of an account were refreshed.
func (cr *crew) refreshes(account string) (times []time.Time) {
	for _, e := range cr.Log().Entries() {
		if e.Endpoint == testserver.Token && e.Granted && e.Account == account {
			times = append(times, e.Time)
		}
	}
	return times
}

func (cr *crew) wantNoReuse(t *testing.T) {
	t.Helper()
	if n := cr.Log().Reused(); n != 0 {
		t.Errorf("%d refresh tokens were sent twice", n)
	}
}

// wantGaps checks that there was one refresh a lifetime from began on.
func wantGaps(t *testing.T, began time.Time, refreshes []time.Time, low, high time.Duration) {
	t.Helper()
	for i, at := range append([]time.Time{began}, refreshes...)[:len(refreshes)] {
		if gap := refreshes[i].Sub(at); gap < low || gap > high {
			t.Errorf("refresh %d came after %v, want %v to %v", i+1, gap, low, high)
		}
	}
}

func alive(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func TestKeepAlive_makes_one_refresh_a_lifetime_between_all_hosts(t *testing.T) {
	alive(t, func(t *testing.T) {
		cr := newCrew(t, 3, 5)
		began := time.Now()
		stop := cr.keep(t, KeepAliveConfig{})
		time.Sleep(20 * time.Hour)
		stop()
		for i := range 5 {
			times := cr.refreshes(fmt.Sprint(i))
			wantGaps(t, began, times, 55*time.Minute, 58*time.Minute)
			if n := len(times); n < 20 || n > 22 {
				t.Errorf("%d refreshes in 20 hours", n)
			}
		}
		cr.wantNoReuse(t)
		for _, c := range cr.clients {
			if n := c.sessions.held(); n != 0 {
				t.Errorf("a client still has %d sessions in memory", n)
			}
		}
	})
}

func TestKeepAlive_follows_the_life_of_the_refresh_token(t *testing.T) {
	tests := map[string]struct {
		members   map[string]string
		low, high time.Duration
	}{
		"refresh_expires_in":         {map[string]string{"refresh_expires_in": "600"}, 450 * time.Second, 530 * time.Second},
		"refresh_token_expires_in":   {map[string]string{"refresh_token_expires_in": "1200"}, 900 * time.Second, 1055 * time.Second},
		"unknown expiry":             {map[string]string{"expires_in": testserver.Omit}, 18 * time.Hour, 24*time.Hour + time.Minute},
		"longer than the access one": {map[string]string{"refresh_expires_in": "864000"}, 55 * time.Minute, 58 * time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			alive(t, func(t *testing.T) {
				cr := newCrew(t, 2, 1)
				cr.members(test.members)
				stop := cr.keep(t, KeepAliveConfig{})
				time.Sleep(20 * test.high)
				stop()
				times := cr.refreshes("0")
				if len(times) < 15 {
					t.Fatalf("%d refreshes", len(times))
				}
				wantGaps(t, times[0], times[1:], test.low, test.high)
				cr.wantNoReuse(t)
			})
		})
	}
}

func TestKeepAlive_bounds_what_it_does_at_once(t *testing.T) {
	alive(t, func(t *testing.T) {
		cr := newCrew(t, 1, 200)
		cr.UpdatePolicy(func(p *testserver.Policy) { p.TokenLatency = 2 * time.Second })
		time.Sleep(2 * time.Hour) // all of them are due
		cr.keep(t, KeepAliveConfig{Concurrency: 7})
		time.Sleep(200/7*2*time.Second + 10*time.Second)
		most := 0
		for _, e := range cr.Log().Entries() {
			most = max(most, e.InFlight)
		}
		if n := cr.Log().Refreshes(); n != 200 || most != 7 {
			t.Errorf("%d refreshes, %d at once, want 200 and 7", n, most)
		}
	})
}

func TestKeepAlive_through_an_outage_of_the_server(t *testing.T) {
	alive(t, func(t *testing.T) {
		cr := newCrew(t, 1, 1000)
		cr.Log().Keep(1 << 20)
		time.Sleep(2 * time.Hour)
		cr.Inject(testserver.OnToken, testserver.Always, testserver.Status(http.StatusServiceUnavailable))
		cr.keep(t, KeepAliveConfig{})
		time.Sleep(time.Minute)
		if n := cr.Log().TokenRequests(); n > 64+8+20 {
			t.Errorf("%d token requests in a minute", n)
		}
		cr.ClearFaults()
		time.Sleep(30 * time.Second)
		if n := cr.Log().Refreshes(); n != 1000 {
			t.Errorf("%d of 1000 sessions are fresh half a minute after the outage", n)
		}
		cr.wantNoReuse(t)
	})
}

func TestKeepAlive_leaves_a_session_alone_that_needs_a_login(t *testing.T) {
	ends := map[string]func(*crew, *testing.T){
		"ended by the server": func(cr *crew, _ *testing.T) { cr.EndSession("0") },
		"logged out": func(cr *crew, t *testing.T) {
			if err := cr.client.Session("0").Logout(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"no refresh token": func(cr *crew, t *testing.T) {
			if err := cr.client.Session("0").Import(t.Context(), &oauth2.Token{AccessToken: "a"}); err != nil {
				t.Error(err)
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			alive(t, func(t *testing.T) {
				cr := newCrew(t, 2, 2)
				cr.keep(t, KeepAliveConfig{})
				time.Sleep(3 * time.Hour)
				end(cr, t)
				before := len(cr.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.Token && e.Account == "0" }))
				time.Sleep(12 * time.Hour)
				after := len(cr.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.Token && e.Account == "0" }))
				if after-before > len(cr.clients) {
					t.Errorf("%d token requests for a session that is over", after-before)
				}
				if n := len(cr.refreshes("1")); n < 15 {
					t.Errorf("%d refreshes of the other one in 15 hours", n)
				}
				cr.login(t, "0")
				began := time.Now()
				n := len(cr.refreshes("0"))
				time.Sleep(10 * time.Hour)
				times := cr.refreshes("0")[n:]
				if len(times) < 10 {
					t.Errorf("%d refreshes in 10 hours after the login", len(times))
				}
				wantGaps(t, began, times, 55*time.Minute, 58*time.Minute)
			})
		})
	}
}

func TestKeepAlive_notices_sessions_that_come_and_go(t *testing.T) {
	alive(t, func(t *testing.T) {
		cr := newCrew(t, 1, 1)
		cr.keep(t, KeepAliveConfig{})
		time.Sleep(30 * time.Minute)
		cr.login(t, "new")
		time.Sleep(2 * time.Hour)
		if n := len(cr.refreshes("new")); n != 2 {
			t.Errorf("a session that came was refreshed %d times in two hours", n)
		}
		if err := cr.client.cfg.Store.Delete(t.Context(), cr.client.key("0")); err != nil {
			t.Fatal(err)
		}
		n := len(cr.refreshes("0"))
		time.Sleep(5 * time.Hour)
		if got := len(cr.refreshes("0")); got != n {
			t.Errorf("a session that went was refreshed %d times", got-n)
		}
	})
}

func TestKeepAlive_ends_in_the_middle_of_refreshes(t *testing.T) {
	for name, age := range map[string]time.Duration{"of expired tokens": 2 * time.Hour, "of tokens that still work": 58 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			alive(t, func(t *testing.T) {
				cr := newCrew(t, 1, 20)
				cr.UpdatePolicy(func(p *testserver.Policy) { p.TokenLatency = 10 * time.Second })
				time.Sleep(age)
				stop := cr.keep(t, KeepAliveConfig{})
				time.Sleep(7 * time.Second) // longer than the first refresh of a process is waited for
				stop()
				if n := cr.Log().Refreshes(); n != 0 {
					t.Errorf("%d refreshes are over", n)
				}
				if err := cr.clients[0].Close(t.Context()); err != nil {
					t.Error(err)
				}
				if n := cr.Log().Refreshes(); n != 20 {
					t.Errorf("%d refreshes", n)
				}
				for i := range 20 {
					b, err := cr.client.cfg.Store.Load(t.Context(), cr.client.key(fmt.Sprint(i)))
					if err != nil {
						t.Fatal(err)
					}
					rec, err := tokenstore.DecodeRecord(b)
					if err != nil || rec.Generation != 2 {
						t.Errorf("after Close %v is stored (%v)", rec, err)
					}
				}
			})
		})
	}
}

func TestKeepAlive_of_named_accounts(t *testing.T) {
	alive(t, func(t *testing.T) {
		records := make(map[string][]byte)
		var mu sync.Mutex
		cr := newCrew(t, 1, 2, func(c *Config) {
			c.Store = &tokenstore.Funcs{ // which can't list its keys
				LoadFunc: func(_ context.Context, key string) ([]byte, error) {
					mu.Lock()
					defer mu.Unlock()
					if b, ok := records[key]; ok {
						return slices.Clone(b), nil
					}
					return nil, tokenstore.ErrNotFound
				},
				SaveFunc: func(_ context.Context, key string, b []byte) error {
					mu.Lock()
					defer mu.Unlock()
					records[key] = slices.Clone(b)
					return nil
				},
				DeleteFunc: func(_ context.Context, key string) error {
					mu.Lock()
					defer mu.Unlock()
					delete(records, key)
					return nil
				},
			}
		})
		if err := cr.clients[0].KeepAlive(t.Context(), KeepAliveConfig{}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("without accounts = %v", err)
		}
		if err := cr.clients[0].KeepAlive(t.Context(), KeepAliveConfig{Accounts: []string{""}}); err == nil {
			t.Error("an empty account was taken")
		}
		cr.keep(t, KeepAliveConfig{Accounts: []string{"0", "0", "later"}})
		time.Sleep(time.Hour)
		cr.login(t, "later")
		time.Sleep(4 * time.Hour)
		for account, want := range map[string]int{"0": 5, "1": 0, "later": 4} {
			if n := len(cr.refreshes(account)); n != want {
				t.Errorf("%s was refreshed %d times, want %d", account, n, want)
			}
		}
	})
}

func TestKeepAlive_of_the_program_itself(t *testing.T) {
	alive(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Grant = ClientCredentials{} })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
		defer cancel()
		if err := f.client.KeepAlive(ctx, KeepAliveConfig{Accounts: []string{""}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if n := f.Log().Grants("client_credentials"); n < 10 || n > 12 {
			t.Errorf("%d tokens in 10 hours", n)
		}
	})
}

func TestKeepAlive_goes_on_beside_what_it_can_not_read(t *testing.T) {
	alive(t, func(t *testing.T) {
		cr := newCrew(t, 1, 2)
		store := cr.client.cfg.Store
		put := func(key, text string) {
			t.Helper()
			if err := store.Update(t.Context(), key, func(context.Context, []byte) ([]byte, error) { return []byte(text), nil }); err != nil {
				t.Fatal(err)
			}
		}
		put(cr.client.key("damaged"), "{")
		put("another.program", "{")
		b, err := store.Load(t.Context(), cr.client.key("1"))
		if err != nil {
			t.Fatal(err)
		}
		put(cr.client.key("stolen"), string(b)) // the record of another
		cr.keep(t, KeepAliveConfig{})
		time.Sleep(10 * time.Hour)
		if n := len(cr.refreshes("0")); n < 10 {
			t.Errorf("%d refreshes in 10 hours", n)
		}
		cr.wantNoReuse(t)
	})
}

func TestKeepAlive_of_a_store_that_panics(t *testing.T) {
	for name, die := range map[string]func(){"panic": func() { panic("ill") }, "Goexit": runtime.Goexit} {
		for what, cfg := range map[string]KeepAliveConfig{"of Load": {Accounts: []string{"0"}}, "of Keys": {}} {
			t.Run(name+" "+what, func(t *testing.T) {
				alive(t, func(t *testing.T) {
					cr := newCrew(t, 1, 1)
					store := &sick{Store: cr.client.cfg.Store, die: die}
					store.ill.Store(true)
					cr.clients[0].cfg.Store = store
					cr.keep(t, cfg)
					time.Sleep(time.Hour)
					if n := store.deaths.Load(); n > 3600 {
						t.Errorf("it was asked %d times in an hour", n)
					}
					store.ill.Store(false)
					time.Sleep(2 * time.Minute)
					if n := len(cr.refreshes("0")); n != 1 {
						t.Errorf("%d refreshes", n)
					}
				})
			})
		}
	}
}

func TestKeepAlive_does_not_take_half_a_list_for_the_whole(t *testing.T) {
	alive(t, func(t *testing.T) {
		cr := newCrew(t, 1, 2)
		store := &sick{Store: cr.client.cfg.Store, die: runtime.Goexit, after: 1}
		cr.clients[0].cfg.Store = store
		cr.keep(t, KeepAliveConfig{})
		time.Sleep(30 * time.Minute)
		store.half.Store(true) // from now on the list breaks off
		time.Sleep(3 * time.Hour)
		for _, account := range []string{"0", "1"} {
			if n := len(cr.refreshes(account)); n != 3 {
				t.Errorf("%s was refreshed %d times", account, n)
			}
		}
	})
}

func TestKeepAlive_ends_with_its_client(t *testing.T) {
	alive(t, func(t *testing.T) {
		cr := newCrew(t, 1, 3)
		go func() {
			time.Sleep(2 * time.Hour)
			cr.clients[0].Close(context.Background())
		}()
		if err := cr.clients[0].KeepAlive(t.Context(), KeepAliveConfig{}); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("KeepAlive of a closed client = %v", err)
		}
	})
}

func TestKeepAlive_refuses_negative_settings(t *testing.T) {
	f := newFixture(t)
	for _, cfg := range []KeepAliveConfig{{Concurrency: -1}, {Rescan: -1}} {
		if err := f.client.KeepAlive(t.Context(), cfg); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// A sick store dies while it is ill, or in the middle of a list.
type sick struct {
	tokenstore.Store
	die       func()
	after     int // keys
	ill, half atomic.Bool
	deaths    atomic.Int64
}

func (s *sick) Load(ctx context.Context, key string) ([]byte, error) {
	if s.ill.Load() {
		s.deaths.Add(1)
		s.die()
	}
	return s.Store.Load(ctx, key)
}

func (s *sick) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		n := 0
		for key, err := range tokenstore.Keys(ctx, s.Store) {
			if s.ill.Load() || s.half.Load() && n == s.after {
				s.deaths.Add(1)
				s.die()
			}
			n++
			if !yield(key, err) {
				return
			}
		}
	}
}

// BenchmarkKept prints what a session costs that is kept alive and not worked on.
func BenchmarkKept(b *testing.B) {
	k := &keeper{client: &Client{cfg: &Config{}}, all: make(map[string]*kept)}
	rec := tokenstore.Record{Session: tokenstore.NewSessionID(""), Generation: 1}
	before := heapSize()
	for b.Loop() {
		account := fmt.Sprint("account", len(k.all), "@example.com")
		k.add(k.client.key(account), account)
		k.queue[len(k.queue)-1].seen = stamp{strings.Clone(rec.Session), rec.Generation}
	}
	b.ReportMetric(float64(heapSize()-before)/float64(len(k.all)), "heap-B/session")
	runtime.KeepAlive(k)
}
