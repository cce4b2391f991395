package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/tokenstore"
)

const clientID = "app"

// TestIDTokens are the modules of the OpenID Foundation's conformance suite for clients
// that are about id_tokens, by the suite's own names: after a login that brings a bad one
// nobody is signed in.
func TestIDTokens(t *testing.T) {
	for name, change := range map[string]func(tok *idToken){
		"":                              func(*idToken) {},
		"oidcc-client-test-invalid-iss": func(tok *idToken) { tok.claims["iss"] = tok.claims["iss"].(string) + "/1" },
		"oidcc-client-test-invalid-aud": func(tok *idToken) { tok.claims["aud"] = "another" },
		"oidcc-client-test-missing-aud": func(tok *idToken) { delete(tok.claims, "aud") },
		"oidcc-client-test-idtoken-sig-none": func(tok *idToken) {
			tok.header["alg"] = "none"
			tok.sign = func([]byte) []byte { return nil }
		},
		"oidcc-client-test-invalid-sig-es256": func(tok *idToken) {
			sign := tok.sign
			tok.sign = func(text []byte) []byte { return sign(append(text, 'x')) }
		},
		"oidcc-client-test-invalid-sig-hs256":                            func(tok *idToken) { tok.header["alg"] = "HS256" },
		"fapi2-security-profile-final-client-test-invalid-null-alg":      func(tok *idToken) { tok.header["alg"] = nil },
		"fapi2-security-profile-final-client-test-invalid-alternate-alg": func(tok *idToken) { tok.header["alg"] = "RS256" },
		"fapi2-security-profile-final-client-test-invalid-missing-iss":   func(tok *idToken) { delete(tok.claims, "iss") },
		"fapi2-security-profile-final-client-test-invalid-missing-exp":   func(tok *idToken) { delete(tok.claims, "exp") },
		"fapi2-security-profile-final-client-test-invalid-expired-exp":   func(tok *idToken) { tok.claims["exp"] = time.Now().Add(-time.Minute).Unix() },
		"fapi2-security-profile-final-client-test-valid-aud-as-array":    func(tok *idToken) { tok.claims["aud"] = []string{clientID} },
	} {
		t.Run(name, func(t *testing.T) {
			good := name == "" || name == "fapi2-security-profile-final-client-test-valid-aud-as-array"
			account, err := signIn(t, change)
			if good != (err == nil) || good && account != "alice@example.com" {
				t.Errorf("%q is signed in: %v", account, err)
			}
		})
	}
}

// signIn is a login at a server whose id_token is changed, and looks whether there is a
// session if it fails.
func signIn(t *testing.T, change func(*idToken)) (account string, err error) {
	op := newProvider(t, change)
	cfg := client.Config{
		Issuer: op.URL, ClientID: clientID, ClientSecret: "secret", RedirectURL: "https://app.example.com/callback",
		Store: new(tokenstore.Memory),
	}
	verify, err := verifier(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.AccountOf = func(ctx context.Context, rec tokenstore.Record) (string, error) {
		who, err := verify(ctx, rec.IDToken.Reveal())
		return who.Email, err
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	login, err := c.BeginLogin(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	session, err := c.FinishLogin(t.Context(), login, op.back(t, login.URL()))
	if err != nil {
		if _, err := c.Session("alice@example.com").Token(t.Context()); !errors.Is(err, client.ErrLoginRequired) {
			t.Errorf("a session was begun all the same: %v", err)
		}
		return "", err
	}
	return session.Account(), nil
}

// An idToken is what a provider is about to hand out.
type idToken struct {
	header map[string]any
	claims map[string]any
	sign   func(text []byte) []byte
}

func (tok *idToken) String() string {
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(tok.header) + "." + part(tok.claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(tok.sign([]byte(text)))
}

// A provider is an OpenID provider with one user.
type provider struct{ *httptest.Server }

func newProvider(t *testing.T, change func(*idToken)) provider {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var op provider
	pages := map[string]func() map[string]any{
		"/.well-known/openid-configuration": func() map[string]any {
			return map[string]any{
				"issuer": op.URL, "authorization_endpoint": op.URL + "/authorize", "token_endpoint": op.URL + "/token", "jwks_uri": op.URL + "/jwks",
				"id_token_signing_alg_values_supported": []string{"ES256"}, "code_challenge_methods_supported": []string{"S256"},
			}
		},
		"/jwks": func() map[string]any {
			return map[string]any{"keys": []any{map[string]any{
				"kty": "EC", "crv": "P-256", "x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
			}}}
		},
		"/token": func() map[string]any {
			tok := &idToken{
				header: map[string]any{"alg": "ES256"},
				claims: map[string]any{
					"iss": op.URL, "sub": "1", "aud": clientID, "email": "alice@example.com",
					"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
				},
				sign: func(text []byte) []byte { return signed(key, text) },
			}
			change(tok)
			return map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": tok.String()}
		},
	}
	op.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := pages[r.URL.Path]
		if page == nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(page())
	}))
	t.Cleanup(op.Close)
	return op
}

// back is what the browser comes back with.
func (op provider) back(t *testing.T, login string) url.Values {
	u, err := url.Parse(login)
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{"code": {"code"}, "state": u.Query()["state"]}
}

func signed(key *ecdsa.PrivateKey, text []byte) []byte {
	sum := sha256.Sum256(text)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}
