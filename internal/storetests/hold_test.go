//go:build unix

package storetests_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// hold has the exclusion of key "k" for as long as the parent likes, and then
// writes "late".
func (w *worker) hold() {
	err := w.store.Update(context.Background(), "k", func(ctx context.Context, old []byte) ([]byte, error) {
		w.say("inside")
		<-w.told
		return []byte("late"), nil
	})
	w.say("conflict=%t err=%v", errors.Is(err, tokenstore.ErrConflict), err)
	<-w.told
}

// send refreshes a session. The parent may keep it, when it has the exclusion, from
// asking the server.
func (w *worker) send() {
	sent := false
	s := source(w.T, gate{w.store, w}, w.job.Fleet.RefreshTimeout, func(context.Context, tokenstore.Record, string) (tokenstore.Record, error) {
		sent = true
		return tokenstore.Record{}, errors.New("no server")
	})
	tok, err := s.Token(context.Background(), "")
	w.say("sent=%t token=%s err=%v", sent, tok.Reveal(), err)
	<-w.told
}

// A gate is a store whose Updates wait for the parent before they do anything.
type gate struct {
	tokenstore.Store
	w *worker
}

func (g gate) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	return g.Store.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
		g.w.say("inside")
		<-g.w.told
		return next(ctx, old)
	})
}

func source(t *testing.T, store tokenstore.Store, timeout time.Duration, refresh transport.RefreshFunc) *transport.Source {
	t.Helper()
	s, err := transport.NewSource(transport.SourceConfig{Refresh: refresh, Store: store, Key: "k", RefreshTimeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// record returns one whose access token was issued an hour ago and is good for so
// long.
func record(accessToken string, left time.Duration) (rec tokenstore.Record) {
	now := time.Now()
	rec.RefreshToken = tokenstore.NewSecret("refresh-" + accessToken)
	rec.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret(accessToken), Issued: now.Add(-time.Hour), Expiry: now.Add(left)})
	return rec
}

// TestRule083_LateHolderWritesNothing has a process stopped for longer than its
// lease, while it has the exclusion of a record.
func TestRule083_LateHolderWritesNothing(t *testing.T) {

	l := leases{Length: 1500 * time.Millisecond, Settle: 500 * time.Millisecond}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// late starts the worker, and stops it inside its Update for twice the lease,
	// in which meanwhile runs.
	late := func(t *testing.T, does, name string, s shared, place string, meanwhile func()) (said string) {
		t.Helper()
		p := start(t, job{Does: does, Name: does, Store: name, Place: place, Leases: l})
		p.hear("started")
		p.hear("inside")
		stopped := time.Now()
		if err := p.stop(); err != nil {
			t.Fatal(err)
		}
		meanwhile()
		time.Sleep(time.Until(stopped.Add(2 * l.Length)))
		if err := p.goOn(); err != nil {
			t.Fatal(err)
		}
		p.tell("go on")
		return p.hear("")
	}
	t.Run("save", func(t *testing.T) {
		onStores(t, 6, true, func(t *testing.T, name string, s shared) {
			place := newPlace(t)
			store := s.open(t, place, l)
			said := late(t, "holder", name, s, place, func() {
				err := store.Update(ctx, "k", func(_ context.Context, old []byte) ([]byte, error) {
					if old != nil {
						t.Errorf("the record is %q", old)
					}
					return []byte("newer"), nil
				})
				if err != nil {
					t.Fatal(err)
				}
			})
			if !strings.HasPrefix(said, "conflict=true ") {
				t.Errorf("the Update that comes late ends with %s, want ErrConflict", said)
			}
			if b, err := store.Load(ctx, "k"); err != nil || string(b) != "newer" {
				t.Errorf("Load = %q, %v, want the newer record", b, err)
			}
		})
	})
	t.Run("send", func(t *testing.T) {
		onStores(t, 6, true, func(t *testing.T, name string, s shared) {
			place := newPlace(t)
			store := s.open(t, place, l)
			if err := source(t, store, 0, noRefresh).Set(ctx, record("old", -time.Second)); err != nil {
				t.Fatal(err)
			}
			said := late(t, "sender", name, s, place, func() {
				tok, err := source(t, store, 0, func(context.Context, tokenstore.Record, string) (tokenstore.Record, error) {
					return record("newer", time.Hour), nil
				}).Token(ctx, "")
				if err != nil || tok.Reveal() != "newer" {
					t.Fatalf("Token = %v, %v", tok, err)
				}
			})
			if !strings.HasPrefix(said, "sent=false ") {
				t.Errorf("who comes late asks the server: %s", said)
			}
			if tok, err := source(t, store, 0, noRefresh).Token(ctx, ""); err != nil || tok.Reveal() != "newer" {
				t.Errorf("Token = %v, %v, want the newer one", tok, err)
			}
		})
	})
}

func noRefresh(context.Context, tokenstore.Record, string) (tokenstore.Record, error) {
	return tokenstore.Record{}, errors.New("nothing should be refreshed")
}

// TestRule064_NoRefreshWithoutTheExclusion has another process keep the exclusion.
func TestRule064_NoRefreshWithoutTheExclusion(t *testing.T) {
	const refreshTimeout = 500 * time.Millisecond
	for name, tt := range map[string]struct {
		left   time.Duration
		serves bool
	}{
		"valid":   {10 * time.Minute, true},
		"expired": {-time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			onStores(t, 6, false, func(t *testing.T, name string, s shared) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				place := newPlace(t)
				store := s.open(t, place, leases{})
				if err := source(t, store, 0, noRefresh).Set(ctx, record("old", tt.left)); err != nil {
					t.Fatal(err)
				}
				p := start(t, job{Does: "holder", Name: "holder", Store: name, Place: place})
				p.hear("started")
				p.hear("inside")
				exchanges := 0
				here := source(t, store, refreshTimeout, func(context.Context, tokenstore.Record, string) (tokenstore.Record, error) {
					exchanges++
					return record("new", time.Hour), nil
				})
				for range 3 {
					tok, err := here.Token(ctx, "")
					var re *transport.RefreshError
					switch {
					case tt.serves && (err != nil || tok.Reveal() != "old"):
						t.Errorf("Token = %v, %v, want the one that is still valid", tok, err)
					case !tt.serves && (!errors.As(err, &re) || re.Kind != transport.StoreFailed):
						t.Errorf("Token = %v, %v, want a RefreshError that says that the store failed", tok, err)
					}
				}
				if err := here.Close(ctx); err != nil {
					t.Error(err)
				}
				if exchanges > 0 {
					t.Errorf("%d exchanges without the exclusion", exchanges)
				}
				p.kill()
			})
		})
	}
}
