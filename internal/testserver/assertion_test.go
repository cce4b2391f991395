package testserver_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/freshet-go/freshet/internal/testserver"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signed returns claims as a JWT; those that are changed to nil are left out.
func signed(t *testing.T, key any, alg jose.SignatureAlgorithm, claims, change map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	for _, m := range []map[string]any{claims, change} {
		for name, v := range m {
			if all[name] = v; v == nil {
				delete(all, name)
			}
		}
	}
	text, err := jwt.Signed(signer).Claims(all).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// asking sends a token request of the app's own, with more members.
func asking(t *testing.T, srv *testserver.Server, c *http.Client, more ...string) reply {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}}
	set(form, more)
	r, err := send(c, tokenRequest(srv, form))
	return must(t, r, err)
}

func TestClientJWT(t *testing.T) {
	srv, c := newServer(t)
	key := newKey(t)
	srv.UpdatePolicy(func(p *testserver.Policy) {
		p.ClientAuth = testserver.AuthJWT
		p.Clients, p.ClientKeys = map[string]string{"app": ""}, map[string]crypto.PublicKey{"app": key.Public()}
	})
	claims := map[string]any{"iss": "app", "sub": "app", "aud": srv.Issuer(), "exp": time.Now().Add(time.Minute).Unix()}
	show := func(jti any, key any, alg jose.SignatureAlgorithm, change map[string]any) reply {
		t.Helper()
		return asking(t, srv, c, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
			"client_assertion", signed(t, key, alg, claims, merged(change, "jti", jti)))
	}
	wantStatus(t, show("1", key, jose.ES256, nil), 200)
	wantError(t, show("1", key, jose.ES256, nil), 401, "invalid_client") // a replay
	for what, change := range map[string]map[string]any{
		"no jti": {"jti": nil}, "another issuer": {"iss": "other"}, "another subject": {"sub": "other"}, "no subject": {"sub": nil},
		"another audience": {"aud": srv.TokenURL()}, "an array": {"aud": []string{srv.Issuer(), "x"}}, "no exp": {"exp": nil},
		"expired": {"exp": time.Now().Add(-time.Second).Unix()}, "good for too long": {"exp": time.Now().Add(time.Hour).Unix()},
	} {
		t.Log(what)
		wantError(t, show(what, key, jose.ES256, change), 401, "invalid_client")
	}
	wantError(t, show("2", newKey(t), jose.ES256, nil), 401, "invalid_client")
	wantError(t, show("3", []byte("0123456789abcdef0123456789abcdef"), jose.HS256, nil), 401, "invalid_client")
	wantError(t, asking(t, srv, c), 401, "invalid_client")
}

func merged(m map[string]any, name string, value any) map[string]any {
	if _, found := m[name]; found {
		return m
	}
	all := map[string]any{name: value}
	for n, v := range m {
		all[n] = v
	}
	return all
}

func TestAssertionGrant(t *testing.T) {
	srv, c := newServer(t)
	key := newKey(t)
	srv.UpdatePolicy(func(p *testserver.Policy) { p.ClientKeys = map[string]crypto.PublicKey{"issuer": key.Public()} })
	claims := map[string]any{"iss": "issuer", "sub": "alice", "aud": srv.TokenURL(), "exp": time.Now().Add(time.Minute).Unix()}
	ask := func(key any, change map[string]any) reply {
		t.Helper()
		return asking(t, srv, c, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion", signed(t, key, jose.ES256, claims, change))
	}
	r := ask(key, nil)
	wantStatus(t, r, 200)
	wantStatus(t, get(t, c, srv.APIURL("/"), r.text("access_token")), 200)
	for _, change := range []map[string]any{{"sub": nil}, {"iss": nil}, {"aud": "https://other.test"}, {"exp": time.Now().Unix() - 1}, {"exp": nil}} {
		wantError(t, ask(key, change), 400, "invalid_grant")
	}
	wantError(t, ask(newKey(t), nil), 400, "invalid_grant")
}

func TestTokenExchange(t *testing.T) {
	srv, c := newServer(t)
	const grant, typ = "urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:token-type:access_token"
	old := srv.BeginSession("alice").AccessToken
	r := asking(t, srv, c, "grant_type", grant, "subject_token", old, "subject_token_type", typ)
	wantStatus(t, r, 200)
	want(t, "issued_token_type", r.text("issued_token_type"), typ)
	if got := get(t, c, srv.APIURL("/"), r.text("access_token")); got.text("account") != "alice" {
		t.Errorf("the API answered %s", got.body)
	}
	wantError(t, asking(t, srv, c, "grant_type", grant, "subject_token", old), 400, "invalid_request")
	wantError(t, asking(t, srv, c, "grant_type", grant, "subject_token", "unknown", "subject_token_type", typ), 400, "invalid_grant")
	srv.RevokeAllAccess()
	wantError(t, asking(t, srv, c, "grant_type", grant, "subject_token", old, "subject_token_type", typ), 400, "invalid_grant")
}

func TestMetadata(t *testing.T) {
	srv, c := newServer(t)
	places := []string{srv.Issuer() + "/.well-known/oauth-authorization-server", srv.Issuer() + "/.well-known/openid-configuration"}
	for policy, statuses := range map[testserver.Documents][2]int{
		testserver.BothDocuments: {200, 200}, testserver.OAuthDocument: {200, 404}, testserver.OpenIDDocument: {404, 200}, testserver.NoDocument: {404, 404},
	} {
		srv.UpdatePolicy(func(p *testserver.Policy) { p.Documents = policy })
		for i, place := range places {
			wantStatus(t, get(t, c, place, ""), statuses[i])
		}
	}
	srv.UpdatePolicy(func(p *testserver.Policy) {
		p.Documents = testserver.BothDocuments
		p.Metadata = map[string]string{"issuer": `"https://evil.test"`, "token_endpoint": testserver.Omit, "more": "7"}
	})
	doc := get(t, c, places[0], "")
	if _, found := doc.members["token_endpoint"]; found || doc.text("issuer") != "https://evil.test" || doc.members["more"] != 7.0 || doc.text("authorization_endpoint") != srv.AuthURL() {
		t.Errorf("the document is %s", doc.body)
	}
}
