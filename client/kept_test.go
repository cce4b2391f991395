package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
)

// How long a refresh token lives is known of that token alone: another one, of
// which the server does not say it, does not end with the last.
func TestRefreshExpiryIsOfTheTokenAtHand(t *testing.T) {
	for _, name := range []string{"refresh_token_expires_in", "refresh_expires_in"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			for i, c := range []struct {
				keep    bool // the server does not rotate
				members map[string]string
				want    time.Duration // of life left; zero is unknown
			}{
				{false, map[string]string{name: `86400`}, 24 * time.Hour},
				{true, nil, 22 * time.Hour},
				{false, nil, 0},
				{false, map[string]string{name: `3600`}, time.Hour},
				{true, map[string]string{name: `7200`}, 2 * time.Hour},
				{true, map[string]string{name: `0`}, 0},
			} {
				f.UpdatePolicy(func(p *testserver.Policy) {
					p.Members, p.Rotation = c.members, testserver.Rotate
					if c.keep {
						p.Rotation = testserver.KeepRepeated
					}
				})
				if _, err := f.session.Token(t.Context()); err != nil {
					t.Fatal(err)
				}
				var want time.Time
				if c.want != 0 {
					want = time.Now().Add(c.want)
				}
				if got := f.record(t).RefreshExpiry; !got.Equal(want) {
					t.Errorf("%s, answer %d: expiry %v, want %v", name, i+1, got, want)
				}
				if got := f.session.Status().RefreshExpiry; !got.Equal(want) {
					t.Errorf("%s, answer %d: Status has expiry %v, want %v", name, i+1, got, want)
				}
				time.Sleep(2 * time.Hour)
			}
		})
	}
}

// A library that wants a token without a context must not hang with the server,
// nor with the store.
func TestTokenSourceIsBounded(t *testing.T) {
	const timeout = 10 * time.Second
	t.Run("server hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, func(c *Config) { c.RefreshTimeout = timeout })
			f.Inject(testserver.OnToken, testserver.Always, testserver.Hang())
			start := time.Now()
			_, err := f.session.TokenSource().Token()
			if took := time.Since(start); err == nil || took > 2*timeout {
				t.Errorf("error %v after %s, want one within %s", err, took, 2*timeout)
			}
		})
	})
	t.Run("store hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			store := &tokenstore.Funcs{
				LoadFunc: func(context.Context, string) ([]byte, error) { <-release; return nil, nil },
				SaveFunc: func(context.Context, string, []byte) error { return nil },
			}
			c, err := New(Config{
				Endpoint: oauth2.Endpoint{TokenURL: "https://auth.test/token"}, ClientID: testID, Store: store, RefreshTimeout: timeout,
			})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err = c.Session("alice").TokenSource().Token()
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 2*timeout {
				t.Errorf("error %v after %s, want DeadlineExceeded after %s", err, took, 2*timeout)
			}
			close(release)
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})
}

// A login replaces what no program can read any more.
func TestImportOverADamagedFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tokens")
	inDir := func(c *Config) { c.Store = tokenstore.Dir(dir) }
	f := newFixture(t, inDir)
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, %v; want one record", files, err)
	}
	if err := os.WriteFile(files[0], make([]byte, tokenstore.MaxRecord+1), 0o600); err != nil {
		t.Fatal(err)
	}
	again := newFixture(t, func(c *Config) { *c = *f.client.cfg; c.ClientSecret = testSecret })
	if got := again.record(t).RefreshToken.Reveal(); got != again.seed {
		t.Errorf("stored is %q, want the token that was imported", got)
	}
}
