package client

import (
	"crypto"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/internal/testserver"
)

// A module is a test for clients of the OpenID Foundation's conformance suite: what its
// server does is set up, and what it looks at is looked at after a login.
type module func(t *testing.T)

// modules are those of the plans oidcc-client-basic-certification-test-plan and
// fapi2-security-profile-final-client-test-plan that are about what this package does, by
// the suite's own names.
//
// The others are left out. id_tokens are verified by a library of their own, and these
// modules are run by the test of examples/oidc: *-invalid-iss, -aud, -sig-*, -alternate-alg, -null-alg,
// -expired-exp, -missing-*, -idtoken-sig-*, -kid-absent-*, -signing-key-rotation*,
// -discovery-jwks-uri-keys, -secondary-aud, -valid-aud-as-array. Nobody reads userinfo
// here but the program: -userinfo-invalid-sub, -userinfo-signed, -aggregated-claims,
// -distributed-claims. Tokens go into a header and nowhere else: -userinfo-bearer-body. And
// there is no part of Freshet for -invalid-athash and -chash (hybrid flow), -form-post-error,
// -request-uri-*, -ensure-jarm-*, -dynamic-registration, -discovery-webfinger-*,
// -session-management, -rp-*-logout, -rp-init-logout*, -3rd-party-init-login and
// -invalid-openbanking-intent-id.
var modules = map[string]module{
	"oidcc-client-test":                            func(t *testing.T) { conforming(t).passes(t) },
	"oidcc-client-test-client-secret-basic":        clientSecretBasic,
	"oidcc-client-test-discovery-openid-config":    discoveryOpenIDConfig,
	"oidcc-client-test-discovery-issuer-mismatch":  issuerMismatch,
	"oidcc-client-test-nonce-invalid":              nonce(`"another"`),
	"oidcc-client-test-nonce-unless-code-flow":     withoutNonce,
	"oidcc-client-test-refresh-token":              refreshToken,
	"oidcc-client-test-scope-userinfo-claims":      scopes,
	"oidcc-client-test-userinfo-bearer-header":     bearerHeader,
	"oidcc-client-test-mtls-endpoint-aliases":      TestMutualTLS,
	fapi2 + "happy-path":                           happyPath,
	fapi2 + "discovery-issuer-mismatch":            issuerMismatch,
	fapi2 + "invalid-authorization-response-iss":   callback("iss", "https://another.test"),
	fapi2 + "remove-authorization-response-iss":    callback("iss", ""),
	fapi2 + ensure + "invalid-state-fails":         callback("state", "another"),
	fapi2 + ensure + "invalid-missing-state-fails": callback("state", ""),
	fapi2 + "token-type-case-insensitivity":        tokenType,
	fapi2 + "invalid-nonce":                        nonce(`"another"`),
	fapi2 + "invalid-missing-nonce":                nonce(""),
}

const (
	fapi2  = "fapi2-security-profile-final-client-test-"
	ensure = "ensure-authorization-response-with-"
)

func TestRule117_the_modules_of_the_conformance_suite(t *testing.T) {
	for name, m := range modules {
		t.Run(name, m)
	}
}

// conforming is a client of a server that is as the suite's are.
func conforming(t *testing.T, change ...func(*Config)) *fixture {
	f := newLogins(t, append([]func(*Config){func(c *Config) { c.Scopes = []string{"openid", "profile"} }}, change...)...)
	f.UpdatePolicy(func(p *testserver.Policy) { p.IDToken = true })
	return f
}

// passes has alice sign in and use what that brings.
func (f *fixture) passes(t *testing.T) {
	t.Helper()
	login := f.begin(t, &LoginOptions{Account: "alice", Nonce: true})
	if _, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice)); err != nil {
		t.Fatal(err)
	}
	f.wantCall(t, f.session, "alice")
}

// fails has alice sign in, and wants no token of what comes of that.
func (f *fixture) fails(t *testing.T, login *Login, params url.Values, want error, exchanged int) {
	t.Helper()
	_, err := f.client.FinishLogin(t.Context(), login, params)
	if err == nil || want != nil && !errors.Is(err, want) {
		t.Errorf("FinishLogin = %v, want %v", err, want)
	}
	if n := f.Log().TokenRequests(); n != exchanged {
		t.Errorf("%d token requests, want %d", n, exchanged)
	}
	if tok, err := f.session.Token(t.Context()); !errors.Is(err, ErrLoginRequired) {
		t.Errorf("Token = %v, %v after a login that failed", tok, err)
	}
}

func clientSecretBasic(t *testing.T) {
	f := conforming(t)
	f.UpdatePolicy(func(p *testserver.Policy) { p.ClientAuth = testserver.AuthBasic })
	f.passes(t)
	e := f.lastRequest(t)
	if !strings.HasPrefix(e.Header.Get("Authorization"), "Basic ") || e.Form.Has("client_secret") {
		t.Errorf("the client has authenticated with %v and %v", e.Header, e.Form)
	}
}

func discoveryOpenIDConfig(t *testing.T) {
	f := conforming(t)
	f.UpdatePolicy(func(p *testserver.Policy) { p.Documents = testserver.OpenIDDocument })
	f.passes(t)
	var asked []string
	for _, e := range f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.Metadata }) {
		asked = append(asked, fmt.Sprint(e.Status, " ", e.Path))
	}
	if got := strings.Join(asked, ", "); !strings.HasSuffix(got, "200 /.well-known/openid-configuration") {
		t.Errorf("asked for %s", got)
	}
}

func issuerMismatch(t *testing.T) {
	f := conforming(t)
	f.UpdatePolicy(func(p *testserver.Policy) { p.Metadata = map[string]string{"issuer": `"https://auth.test/other"`} })
	if login, err := f.client.BeginLogin(t.Context(), &LoginOptions{Account: "alice"}); err == nil || !strings.Contains(err.Error(), "issuer") {
		t.Errorf("BeginLogin = %v, %v", login, err)
	}
	if n := len(f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint != testserver.Metadata })); n != 0 {
		t.Errorf("%d requests to a server that is another", n)
	}
}

// nonce is that of an id_token, as JSON; "" leaves it out.
func nonce(value string) module {
	return func(t *testing.T) {
		f := conforming(t)
		claims := `{"iss":"https://auth.test","sub":"alice","aud":"app"}`
		if value != "" {
			claims = claims[:len(claims)-1] + `,"nonce":` + value + `}`
		}
		text := strings.Join([]string{base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256"}`)), base64.RawURLEncoding.EncodeToString([]byte(claims)), "c2ln"}, ".")
		f.members(map[string]string{"id_token": strconv.Quote(text)})
		login := f.begin(t, &LoginOptions{Account: "alice", Nonce: true})
		f.fails(t, login, f.back(t, login, alice), nil, 1)
	}
}

func withoutNonce(t *testing.T) {
	f := conforming(t)
	login := f.begin(t, &LoginOptions{Account: "alice"})
	if f.sent(t, testserver.Push).Has("nonce") {
		t.Error("a nonce was sent that nobody asked for")
	}
	if _, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice)); err != nil {
		t.Error(err)
	}
}

func refreshToken(t *testing.T) {
	f := conforming(t)
	f.passes(t)
	first := f.lastRequest(t).NewRefreshToken
	f.RevokeAllAccess()
	f.wantCall(t, f.session, "alice")
	if e := f.lastRequest(t); e.Form.Get("grant_type") != "refresh_token" || e.Form.Get("refresh_token") != first || e.NewRefreshToken == "" {
		t.Errorf("sent %v", e.Form)
	}
	f.RevokeAllAccess()
	f.wantCall(t, f.session, "alice")
	if f.lastRequest(t).Form.Get("refresh_token") == first {
		t.Error("a refresh token was sent twice")
	}
}

func scopes(t *testing.T) {
	f := conforming(t, func(c *Config) { c.Scopes = []string{"openid", "profile", "email", "address", "phone"} })
	f.passes(t)
	if got := f.sent(t, testserver.Push).Get("scope"); got != "openid profile email address phone" {
		t.Errorf("asked for %q", got)
	}
}

func bearerHeader(t *testing.T) {
	f := conforming(t)
	f.passes(t)
	tok, err := f.session.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.API }) {
		if got := e.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+tok.Reveal() || len(e.Form) != 0 {
			t.Errorf("the token went with %v and %v", got, e.Form)
		}
	}
}

// happyPath is FAPI 2.0: a pushed request, PKCE, and a client that authenticates with a
// private key.
func happyPath(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	f := conforming(t, byJWT(PrivateKeyJWT{Key: key}))
	f.UpdatePolicy(func(p *testserver.Policy) {
		p.RequirePush, p.ClientAuth = true, testserver.AuthJWT
		p.ClientKeys = map[string]crypto.PublicKey{testID: key.Public()}
	})
	login := f.begin(t, &LoginOptions{Account: "alice"})
	pushed := f.sent(t, testserver.Push)
	u, _ := url.Parse(login.URL())
	if q := u.Query(); len(q) != 2 || q.Get("client_id") != testID || q.Get("request_uri") == "" || pushed.Get("code_challenge_method") != "S256" {
		t.Errorf("pushed %v, and sent the user with %v", pushed, q)
	}
	if _, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice)); err != nil {
		t.Fatal(err)
	}
	f.wantCall(t, f.session, "alice")
	if n := len(f.assertions()); n != 2 || f.lastRequest(t).Form.Get("code_verifier") == "" {
		t.Errorf("%d assertions, and %v", n, f.lastRequest(t).Form)
	}
}

// callback changes a parameter of what comes back, or takes it away.
func callback(name, value string) module {
	return func(t *testing.T) {
		f := conforming(t)
		login := f.begin(t, &LoginOptions{Account: "alice"})
		params := f.back(t, login, alice)
		if !params.Has(name) {
			t.Fatalf("no %s in %v", name, params)
		}
		if params.Set(name, value); value == "" {
			params.Del(name)
		}
		f.fails(t, login, params, ErrCallback, 0)
	}
}

func tokenType(t *testing.T) {
	for _, name := range []string{"bearer", "BEARER", "bEaReR"} {
		f := conforming(t)
		f.members(map[string]string{"token_type": strconv.Quote(name)})
		f.passes(t)
	}
}
