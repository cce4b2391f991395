package client

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/freshet-go/freshet/internal/testserver"
)

// A hardwareKey is a key of which nothing is known but what it signs.
type hardwareKey struct{ key crypto.Signer }

func (k hardwareKey) Public() crypto.PublicKey { return k.key.Public() }

func (k hardwareKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.key.Sign(rand, digest, opts)
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// byJWT is the change that makes a client authenticate so.
func byJWT(auth Auth) func(*Config) {
	return func(c *Config) {
		c.Auth = auth
		if !auth.takesSecret() {
			c.ClientSecret = ""
		} else {
			c.ClientSecret = strings.Repeat(testSecret, 4)
		}
	}
}

// assertions returns the JWTs with which the client has authenticated.
func (f *fixture) assertions() (list []string) {
	for _, e := range f.Log().Entries() {
		if jwt := e.Form.Get("client_assertion"); jwt != "" {
			list = append(list, jwt)
		}
	}
	return list
}

func TestRule108_each_request_has_a_new_JWT_addressed_to_the_issuer(t *testing.T) {
	rsaK, p256, p384, p521, ed := rsaKey(t), ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521()), edKey(t)
	for name, test := range map[string]struct {
		auth Auth
		alg  jose.SignatureAlgorithm
		key  any
	}{
		"RSA":             {PrivateKeyJWT{Key: rsaK, KeyID: "k1"}, jose.RS256, rsaK.Public()},
		"RSA PSS":         {PrivateKeyJWT{Key: rsaK, Algorithm: "PS384"}, jose.PS384, rsaK.Public()},
		"P-256":           {PrivateKeyJWT{Key: p256, KeyID: "k2"}, jose.ES256, p256.Public()},
		"P-384":           {PrivateKeyJWT{Key: p384}, jose.ES384, p384.Public()},
		"P-521":           {PrivateKeyJWT{Key: p521}, jose.ES512, p521.Public()},
		"Ed25519":         {PrivateKeyJWT{Key: ed}, jose.EdDSA, ed.Public()},
		"RSA hardware":    {PrivateKeyJWT{Key: hardwareKey{rsaK}}, jose.RS256, rsaK.Public()},
		"P-256 hardware":  {PrivateKeyJWT{Key: hardwareKey{p256}}, jose.ES256, p256.Public()},
		"Ed hardware":     {PrivateKeyJWT{Key: hardwareKey{ed}}, jose.EdDSA, ed.Public()},
		"secret":          {ClientSecretJWT{}, jose.HS256, []byte(strings.Repeat(testSecret, 4))},
		"secret, SHA-512": {ClientSecretJWT{Algorithm: "HS512"}, jose.HS512, []byte(strings.Repeat(testSecret, 4))},
	} {
		t.Run(name, func(t *testing.T) {
			f := newLogins(t, byJWT(test.auth))
			f.UpdatePolicy(func(p *testserver.Policy) {
				p.ClientAuth = testserver.AuthJWT
				if key, ok := test.key.([]byte); ok {
					p.Clients = map[string]string{testID: string(key)}
				} else {
					p.ClientKeys = map[string]crypto.PublicKey{testID: test.key}
				}
			})
			f.wantAssertions(t, test.alg, test.key)
			kid := ""
			if auth, ok := test.auth.(PrivateKeyJWT); ok {
				kid = auth.KeyID
			}
			for _, text := range f.assertions() {
				if jwt, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{test.alg}); err != nil || jwt.Signatures[0].Header.KeyID != kid {
					t.Errorf("key id, want %q: %v", kid, err)
				}
			}
		})
	}
	t.Run("audience", testAudience)
	t.Run("distinct", func(t *testing.T) {
		id, seen := identity{id: testID, audience: testIssuer}, make(map[string]bool)
		for range 1000 {
			form := map[string][]string{}
			if err := (PrivateKeyJWT{Key: ed}).authenticate(id, form, nil); err != nil {
				t.Fatal(err)
			}
			ms, _ := claimsIn(form["client_assertion"][0])
			jti, _ := ms.text("jti")
			if len(jti) < 22 || seen[jti] {
				t.Fatalf("jti %q, seen before: %t", jti, seen[jti])
			}
			seen[jti] = true
		}
	})
	t.Run("shown nowhere", func(t *testing.T) {
		f := newLogins(t, byJWT(PrivateKeyJWT{Key: p256}))
		f.UpdatePolicy(func(p *testserver.Policy) { p.ClientKeys = withKey(nil, p256.Public()) })
		login := f.begin(t, &LoginOptions{Account: "alice"})
		params := f.back(t, login, alice)
		f.Inject(testserver.OnCode, 1, echoing(400, "invalid_client"))
		_, err := f.client.FinishLogin(t.Context(), login, params)
		all := f.assertions()
		if jwt := all[len(all)-1]; err == nil || strings.Contains(shown(err), jwt) || strings.Contains(shown(err), jwt[len(jwt)-20:]) {
			t.Errorf("error %v", err)
		}
	})
}

// wantAssertions lives a session through every endpoint, with a retry, and checks each
// JWT that was sent.
func (f *fixture) wantAssertions(t *testing.T, alg jose.SignatureAlgorithm, key any) {
	t.Helper()
	f.UpdatePolicy(func(p *testserver.Policy) { p.ClientKeys = withKey(p.ClientKeys, key) })
	login := f.begin(t, &LoginOptions{Account: "alice"})
	if _, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice)); err != nil {
		t.Fatal(err)
	}
	f.Inject(testserver.OnRefresh, 1, testserver.Drop()) // and once more, with another JWT
	f.RevokeAllAccess()
	f.wantCall(t, f.session, "alice")
	if err := f.session.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := f.assertions()
	if len(all) != 6 { // pushed, code, refresh twice, revocation twice
		t.Errorf("%d JWTs", len(all))
	}
	seen := make(map[string]bool)
	for _, text := range all {
		jwt, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{alg})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := jwt.Verify(key)
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Iss, Sub, Jti string
			Aud           any
			Iat, Exp      int64
		}
		if err := json.Unmarshal(payload, &c); err != nil {
			t.Fatal(err)
		}
		age := time.Since(time.Unix(c.Iat, 0))
		if c.Iss != testID || c.Sub != testID || c.Aud != "https://auth.test" || c.Exp-c.Iat != 60 || age < 0 || age > time.Minute || seen[c.Jti] {
			t.Errorf("claims %s", payload)
		}
		seen[c.Jti] = true
	}
}

func withKey(keys map[string]crypto.PublicKey, key any) map[string]crypto.PublicKey {
	if _, ok := key.([]byte); ok {
		return keys
	}
	return map[string]crypto.PublicKey{testID: key}
}

// The audience is the issuer, as one string, whatever token endpoint its metadata names,
// unless the server is known to take nothing else.
func testAudience(t *testing.T) {
	for _, toTokenURL := range []bool{false, true} {
		var audiences []string
		named := "https://honest.example.com/token" // an attacker's metadata names another's endpoint
		doc := fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q}`, testIssuer, named)
		base := &tokenSite{site{oauthPlace: doc}, func(form string) {
			_, form, _ = strings.Cut(form, "client_assertion=")
			jwt, _, _ := strings.Cut(form, "&")
			ms, err := claimsIn(jwt)
			if err != nil {
				t.Error(err)
			}
			audiences = append(audiences, string(ms["aud"]))
		}}
		e := testEndpoint(base, func(c *Config) {
			c.Issuer, c.Endpoint.TokenURL = testIssuer, ""
			c.Auth, c.Quirks.TokenEndpointAudience = PrivateKeyJWT{Key: edKey(t)}, toTokenURL
		})
		if _, err := e.refresh(t.Context(), refreshable("old"), ""); err == nil {
			t.Fatal("there is no such server")
		}
		want := fmt.Sprintf("%q", testIssuer)
		if toTokenURL {
			want = fmt.Sprintf("%q", named)
		}
		if len(audiences) != 1 || audiences[0] != want {
			t.Errorf("audiences %v, want %s", audiences, want)
		}
	}
}
