package client

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
)

// Whatever begins a session, and whatever it is used for, has proofs of one key.
func TestDPoP_goes_with_everything(t *testing.T) {
	for name, use := range map[string]func(t *testing.T) *fixture{
		"device": func(t *testing.T) *fixture {
			f := newLogins(t, bound)
			f.UpdatePolicy(func(p *testserver.Policy) { p.PollInterval = time.Second })
			err := f.session.LoginDevice(t.Context(), func(_ context.Context, p DevicePrompt) error {
				f.AnswerDevice(p.UserCode, "alice")
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
		"import": func(t *testing.T) *fixture {
			f := newLogins(t, bound)
			if err := f.session.Import(t.Context(), &oauth2.Token{RefreshToken: f.BeginSession("alice").RefreshToken}); err != nil {
				t.Fatal(err)
			}
			return f
		},
		"client credentials": func(t *testing.T) *fixture {
			f := newLogins(t, bound, func(c *Config) { c.Grant = ClientCredentials{} })
			f.session = f.client.Session("")
			return f
		},
		"public client": func(t *testing.T) *fixture {
			f := newLogins(t, bound, func(c *Config) { c.ClientSecret = "" })
			f.signInAlice(t)
			return f
		},
		"view": func(t *testing.T) *fixture {
			f := newLogins(t, bound)
			f.signInAlice(t)
			f.session = f.session.For(Target{Scopes: []string{"read"}})
			return f
		},
		"keep-alive": func(t *testing.T) *fixture {
			f := newLogins(t, bound)
			f.signInAlice(t)
			ctx, cancel := context.WithTimeout(t.Context(), 59*time.Minute)
			defer cancel()
			f.client.KeepAlive(ctx, KeepAliveConfig{})
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := use(t)
				f.UpdatePolicy(func(p *testserver.Policy) { p.DPoP, p.DPoPNonce = true, true })
				hc := f.session.HTTPClient()
				for range 3 {
					resp, err := hc.Get(f.APIURL("/"))
					if err != nil || resp.StatusCode != http.StatusOK {
						t.Fatal(resp, err)
					}
					resp.Body.Close()
					f.RevokeAllAccess()
					f.RotateNonces()
				}
				f.wantProofs(t)
				f.client.Close(t.Context())
				f.Close()
			})
		})
	}
}

// Processes that share a session prove themselves with its one key, and many goroutines
// make one refresh.
func TestDPoP_shared(t *testing.T) {
	memory := new(tokenstore.Memory)
	shared := func(c *Config) { c.DPoP, c.Store, c.ClientSecret = &DPoP{}, memory, "" }
	f := newLogins(t, shared)
	f.demanding()
	f.signInAlice(t)
	other := newLogins(t, shared, func(c *Config) { c.Base, c.TokenClient = f.Transport(), f.Client() })
	for round := range 3 {
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				s := []*Session{f.session, other.session}[i%2]
				resp, err := s.HTTPClient().Get(f.APIURL("/"))
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("%v, %v", resp, err)
					return
				}
				resp.Body.Close()
			})
		}
		all.Wait()
		if n := f.Log().Refreshes(); n != round || f.Log().Reused() != 0 {
			t.Errorf("round %d: %d refreshes, %d refresh tokens sent twice", round, n, f.Log().Reused())
		}
		f.RevokeAllAccess()
		f.RotateNonces()
	}
	f.wantProofs(t)
}

// With a token that is of no use by itself, nobody gets it by itself.
func TestDPoP_has_no_TokenSource(t *testing.T) {
	f := newLogins(t, bound)
	f.signInAlice(t)
	if tok, err := f.session.TokenSource().Token(); err == nil {
		t.Errorf("a token without a proof: %v", tok)
	}
}

// Wrap keeps the proofs, with whatever transport it is given.
func TestDPoP_wrap(t *testing.T) {
	f := newLogins(t, bound)
	f.demanding()
	f.signInAlice(t)
	resp, err := f.session.Wrap(&http.Client{Transport: f.Transport()}).Get(f.APIURL("/"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
}

// A clock that is wrong is made up for by that of the server.
func testProofSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, skew := range []time.Duration{time.Hour, -time.Hour} {
			f := newLogins(t, bound)
			f.UpdatePolicy(func(p *testserver.Policy) { p.DPoP, p.ClockSkew = true, skew })
			f.signInAlice(t)
			f.wantCall(t, f.session, "alice")
			f.wantCall(t, f.session, "alice")
			if n := len(f.proofs(t)); n != 2+1+1+1 {
				t.Errorf("%s: %d proofs, want one more at each end", skew, n)
			}
			f.client.Close(t.Context())
			f.Close()
		}
	})
}

func testPeers(t *testing.T) {
	var p peers
	for _, nonce := range []string{"", "a b", "a\"", "é", "a\n", strings.Repeat("n", maxNonce+1)} {
		p.learn("https://a.test", http.Header{"Dpop-Nonce": {nonce}})
	}
	p.learn("https://a.test", http.Header{"Dpop-Nonce": {"one", "two"}})
	if got := p.of("https://a.test"); got != (peer{}) {
		t.Errorf("learned %+v", got)
	}
	p.learn("https://a.test", http.Header{"Date": {"Sat, 01 Jan 2000 00:00:00 GMT"}, "Age": {"60"}})
	if got := p.of("https://a.test"); got != (peer{}) {
		t.Errorf("learned of a cache: %+v", got)
	}
	for i := range 2 * maxPeers {
		p.learn("https://"+strings.Repeat("a", i)+".test", http.Header{"Dpop-Nonce": {"n"}})
	}
	if len(p.by) > maxPeers {
		t.Errorf("%d origins are remembered", len(p.by))
	}
}
