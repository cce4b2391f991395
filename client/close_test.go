package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

var errDisk = errors.New("disk full")

// A failing is a store whose writes fail for the keys that broken names.
type failing struct {
	tokenstore.Funcs
	kept tokenstore.Memory

	mu     sync.Mutex
	broken map[string]bool
}

func newFailing() *failing {
	s := &failing{broken: make(map[string]bool)}
	s.LoadFunc, s.DeleteFunc = s.kept.Load, s.kept.Delete
	s.SaveFunc = func(ctx context.Context, key string, b []byte) error {
		if s.isBroken(key) {
			return errDisk
		}
		return s.kept.Update(ctx, key, func(context.Context, []byte) ([]byte, error) { return b, nil })
	}
	return s
}

func (s *failing) isBroken(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken[key]
}

func (s *failing) setBroken(key string, broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken[key] = broken
}

// soon is a context that ends after d.
func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestClose_again_tells_what_is_unsaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFailing()
		f := newFixture(t, func(c *Config) { c.Store = store })
		store.setBroken(f.client.key("alice"), true)
		if _, err := f.session.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			err := f.client.Close(soon(t, 3*time.Second))
			var re *transport.RefreshError
			if !errors.As(err, &re) || re.Kind != transport.StoreFailed || !strings.Contains(err.Error(), `"alice"`) {
				t.Errorf("the %d. Close: %v, want an error of kind %s that names the session", i+1, err, transport.StoreFailed)
			}
		}
	})
}

func TestClose_again_waits_again(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		gate := f.Hold(testserver.OnToken)
		go f.session.Token(t.Context())
		synctest.Wait()
		if err := f.client.Close(soon(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first Close: %v, want DeadlineExceeded", err)
		}
		time.AfterFunc(3*time.Second, gate.Release)
		start := time.Now()
		if err := f.client.Close(t.Context()); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("the second Close: %v after %s, want nil when the refresh has ended", err, time.Since(start))
		}
		if got := f.record(t).RefreshToken.Reveal(); got == f.seed {
			t.Error("what the refresh brought is not saved")
		}
	})
}

// While one session hangs the others save what they have.
func TestClose_all_at_once(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFailing()
		f := newFixture(t, func(c *Config) { c.Store = store })
		if _, err := f.session.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		store.setBroken(f.client.key("alice"), true)
		if _, err := f.session.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.Inject(testserver.OnToken, testserver.Always, testserver.Hang())
		for i := range 20 {
			hung := f.client.Session(fmt.Sprint("hung", i))
			if err := hung.Import(t.Context(), &oauth2.Token{RefreshToken: f.BeginSession("x").RefreshToken}); err != nil {
				t.Fatal(err)
			}
			go hung.Token(t.Context())
		}
		synctest.Wait()
		store.setBroken(f.client.key("alice"), false)
		err := f.client.Close(soon(t, 10*time.Second))
		if err == nil || strings.Contains(err.Error(), "alice") || strings.Count(err.Error(), "hung") != 20 {
			t.Errorf("Close: %v, want errors of the sessions that hang", err)
		}
		if f.session.Status().Unsaved {
			t.Error("alice's token is not saved")
		}
		_ = f.client.Close(t.Context()) // until those have ended, too
	})
}

// What the Client dialed itself, nobody else can close.
func TestClose_leaves_no_connection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.TokenClient = nil })
		m := meter(f.client.endpoint, f.Server, 0)
		if _, err := f.session.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := m.open.Load(); n != 1 {
			t.Fatalf("%d connections, want one that is kept", n)
		}
		start := time.Now()
		if err := f.client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := m.open.Load(); n != 0 || time.Since(start) != 0 {
			t.Errorf("%d connections are left %s after Close, want none at once", n, time.Since(start))
		}
	})
}
