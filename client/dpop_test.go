package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
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

// The proof that was demanded has the nonce of that answer, although one that came later
// has an older nonce.
func TestDPoP_answers_the_demand(t *testing.T) {
	f := newLogins(t, bound)
	f.demanding()
	keys, older := f.client.endpoint.keys, http.Header{"Dpop-Nonce": {"older"}}
	keys.auth.learn(f.Issuer(), older)
	keys.apis.learn("https://api.test", older)
	overtaken := roundTrip(func(req *http.Request) (*http.Response, error) {
		resp, err := f.Transport().RoundTrip(req)
		if err == nil && resp.StatusCode/100 == 4 {
			for _, p := range []*peers{&keys.auth, &keys.apis} {
				resp.Body = onRead{resp.Body, func() { p.learn(originOf(req), older) }}
			}
		}
		return resp, err
	})
	f.client.endpoint.base = overtaken
	f.signInAlice(t)
	resp, err := f.session.Wrap(&http.Client{Transport: overtaken}).Get(f.APIURL("/"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	n := 0
	for _, p := range f.proofs(t) {
		if p.Nonce == "older" {
			n++
		}
	}
	if n != 2 || len(f.proofs(t)) != 4 {
		t.Errorf("%d proofs of %d have the older nonce, want one at each end, and one with that of the answer", n, len(f.proofs(t)))
	}
}

// A demand does not cost the connection.
func TestDPoP_keeps_the_connection(t *testing.T) {
	f := newLogins(t, bound)
	f.demanding()
	f.signInAlice(t)
	sent, dialed := 0, 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		if sent++; !c.Reused {
			dialed++
		}
	}})
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, f.APIURL("/"), nil)
	resp, err := f.session.HTTPClient().Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	if sent != 2 || dialed > 1 {
		t.Errorf("sent %d times over %d new connections", sent, dialed)
	}
}

// A key is read from its record once, and no more are at hand than there is room for.
func TestProofKeys_are_at_hand(t *testing.T) {
	k := newProofKeys(new(DPoP))
	key, err := k.fresh()
	if err != nil {
		t.Fatal(err)
	}
	first, err := k.of(key.kept)
	again, _ := k.of(key.kept)
	if err != nil || first != again || first.thumbprint != key.thumbprint {
		t.Errorf("%v, read twice: %t", err, first != again)
	}
	for i := range maxKeys + 10 {
		k.add(&proofKey{kept: tokenstore.NewSecret(fmt.Sprint(i))})
	}
	if len(k.keys) != maxKeys {
		t.Errorf("%d keys are at hand", len(k.keys))
	}
}

// An onRead is a body that does something whenever it is read.
type onRead struct {
	io.ReadCloser
	do func()
}

func (b onRead) Read(p []byte) (int, error) {
	b.do()
	return b.ReadCloser.Read(p)
}
