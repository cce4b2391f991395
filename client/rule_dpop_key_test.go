package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func TestRule107_a_bound_token_is_no_bearer_token_and_its_key_is_kept(t *testing.T) {
	t.Run("bearer answered", func(t *testing.T) {
		f := newLogins(t, bound)
		f.UpdatePolicy(func(p *testserver.Policy) { p.TokenType = "Bearer" })
		login := f.begin(t, &LoginOptions{Account: "alice"})
		_, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice))
		var re *transport.RefreshError
		if !errors.As(err, &re) || re.Kind != transport.Misconfigured || !strings.Contains(err.Error(), "AllowBearer") {
			t.Errorf("error %v", err)
		}
		if tok, err := f.session.Token(t.Context()); err == nil {
			t.Errorf("and a token: %v", tok)
		}
	})
	t.Run("bearer allowed", func(t *testing.T) {
		f := newLogins(t, func(c *Config) { c.DPoP = &DPoP{AllowBearer: true} })
		f.UpdatePolicy(func(p *testserver.Policy) { p.TokenType = "Bearer" })
		f.signInAlice(t)
		resp, err := f.session.HTTPClient().Get(f.APIURL("/"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		api := f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.API })
		if auth := api[0].Header.Get("Authorization"); !strings.HasPrefix(auth, "Bearer ") {
			t.Errorf("sent %q", auth)
		}
	})
	t.Run("no downgrade", func(t *testing.T) {
		f := newLogins(t, bound)
		f.signInAlice(t)
		f.Inject(testserver.OnAPI, 2, testserver.Unauthorized(`Bearer error="invalid_token"`))
		resp, err := f.session.HTTPClient().Get(f.APIURL("/"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		for _, e := range f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.API }) {
			if auth := e.Header.Get("Authorization"); !strings.HasPrefix(auth, "DPoP ") {
				t.Errorf("sent %q", auth)
			}
		}
	})
	t.Run("restart", testKeyKept)
	t.Run("lost", testKeyLost)
}

// A second process proves itself with the key of the first.
func testKeyKept(t *testing.T) {
	key, err := tokenstore.GenerateSealKey("id")
	if err != nil {
		t.Fatal(err)
	}
	memory := new(tokenstore.Memory)
	sealed := func(c *Config) {
		c.DPoP = &DPoP{}
		c.ClientSecret = ""
		c.Store, _ = tokenstore.NewSealed(memory, key)
	}
	f := newLogins(t, sealed)
	f.demanding()
	f.signInAlice(t)
	again := newLogins(t, sealed, func(c *Config) { c.Base, c.TokenClient = f.Transport(), f.Client() })
	f.RevokeAllAccess()
	f.wantCall(t, again.session, "alice")
	if f.Log().Refreshes() != 1 {
		t.Error("there was no refresh")
	}
	f.wantProofs(t)
	raw, err := memory.Load(t.Context(), f.client.key("alice"))
	rec := f.record(t)
	if kept := rec.DPoPKey.Reveal(); err != nil || len(kept) < 100 || bytes.Contains(raw, []byte(kept)) {
		t.Errorf("the record has a key of %d bytes, sealed: %v", len(kept), err)
	}
	// A session of many users has a key for each.
	other := f.begin(t, &LoginOptions{Account: "bob"})
	if login := f.begin(t, &LoginOptions{Account: "alice"}); login.p.Key == other.p.Key || login.p.Key == "" {
		t.Error("two logins share a key")
	}
}

func testKeyLost(t *testing.T) {
	for name, lose := range map[string]func(rec *tokenstore.Record, c *Config){
		"gone":   func(rec *tokenstore.Record, _ *Config) { rec.DPoPKey = tokenstore.Secret{} },
		"broken": func(rec *tokenstore.Record, _ *Config) { rec.DPoPKey = tokenstore.NewSecret("no key") },
		"another": func(rec *tokenstore.Record, c *Config) {
			c.DPoP.Key = ecKey(t, elliptic.P256())
			rec.DPoPKey = tokenstore.NewSecret("jkt:other")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newLogins(t, bound)
			f.signInAlice(t)
			rec, memory := f.record(t), new(tokenstore.Memory)
			again := newLogins(t, bound, func(c *Config) {
				lose(&rec, c)
				c.Base, c.TokenClient, c.Store = f.Transport(), f.Client(), memory
			})
			err := memory.Update(t.Context(), f.client.key("alice"), func(context.Context, []byte) ([]byte, error) { return rec.Encode() })
			if err != nil {
				t.Fatal(err)
			}
			before := len(f.Log().Entries())
			for range 20 {
				_, err := again.session.HTTPClient().Get(f.APIURL("/"))
				if !errors.Is(err, ErrLoginRequired) || !errors.Is(err, ErrKeyLost) {
					t.Fatalf("error %v", err)
				}
			}
			if n := len(f.Log().Entries()) - before; n != 0 {
				t.Errorf("%d requests without a key", n)
			}
			again.Server = f.Server
			again.signInAlice(t)
			again.wantCall(t, again.session, "alice")
		})
	}
}

// Every program's signer that can sign JWTs can prove.
func TestDPoP_check(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for what, d := range map[string]DPoP{
		"Algorithm is none": {Algorithm: "HS256"}, "none that Key can do": {Key: ecKey(t, elliptic.P256()), Algorithm: "RS256"},
		"less than 2048": {Key: weak},
	} {
		cfg := Config{ClientID: "app", Issuer: "https://auth.test", DPoP: &d}
		if err := cfg.check(); err == nil || !strings.Contains(err.Error(), "Config.DPoP.") || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	algs := []jose.SignatureAlgorithm{}
	for _, key := range []crypto.Signer{rsaKey(t), ecKey(t, elliptic.P256()), edKey(t)} {
		alg, err := (&DPoP{Key: key}).algorithm()
		if algs = append(algs, alg); err != nil {
			t.Error(err)
		}
	}
	if want := []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}; !slices.Equal(algs, want) {
		t.Errorf("algorithms %v, want %v", algs, want)
	}
}
