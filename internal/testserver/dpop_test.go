package testserver_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/freshet-go/freshet/internal/testserver"
)

// A proofMaker makes proofs with go-jose, right and wrong ones.
type proofMaker struct {
	t   *testing.T
	key *ecdsa.PrivateKey
}

// make returns a proof, with claims changed; those that are changed to nil are left out.
func (m proofMaker) make(method, url, token string, change map[string]any, header ...any) string {
	m.t.Helper()
	opts := (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt")
	var key any = m.key
	alg := jose.ES256
	for i := 0; i < len(header); i += 2 {
		opts.WithHeader(jose.HeaderKey(header[i].(string)), header[i+1])
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		m.t.Fatal(err)
	}
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	for name, v := range change {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		m.t.Fatal(err)
	}
	return text
}

// begin gets tokens that are bound to the key.
func (m proofMaker) begin(srv *testserver.Server, c *http.Client) reply {
	m.t.Helper()
	req := refreshRequest(srv, srv.BeginSession("alice").RefreshToken)
	req.Header.Set("DPoP", m.make("POST", srv.TokenURL(), "", nil))
	r, err := send(c, req)
	wantStatus(m.t, must(m.t, r, err), 200)
	return r
}

// ask asks the API with a proof.
func (m proofMaker) ask(c *http.Client, url, scheme, token string, proofs ...string) reply {
	m.t.Helper()
	req := apiRequest("GET", url, "", nil)
	req.Header.Set("Authorization", scheme+" "+token)
	for _, p := range proofs {
		req.Header.Add("DPoP", p)
	}
	r, err := send(c, req)
	return must(m.t, r, err)
}

func TestDPoPProof(t *testing.T) {
	srv, c := newServer(t)
	m, api := proofMaker{t, newKey(t)}, srv.APIURL("/a")
	tokens := m.begin(srv, c)
	want(t, "token_type", tokens.text("token_type"), "DPoP")
	token := tokens.text("access_token")
	good := m.make("GET", api, token, nil)
	wantStatus(t, m.ask(c, api+"?x=1", "dPoP", token, good), 200)
	for what, proofs := range map[string][]string{
		"none": {}, "two": {m.make("GET", api, token, nil), m.make("GET", api, token, nil)}, "a replay": {good},
		"another method": {m.make("POST", api, token, nil)}, "another path": {m.make("GET", api+"/b", token, nil)},
		"another host": {m.make("GET", "https://evil.test/a", token, nil)}, "plain": {m.make("GET", strings.Replace(api, "https", "http", 1), token, nil)},
		"a query": {m.make("GET", api+"?x=1", token, nil)}, "a fragment": {m.make("GET", api+"#", token, nil)},
		"another token": {m.make("GET", api, "other", nil)}, "no token": {m.make("GET", api, "", nil)},
		"old": {m.make("GET", api, token, map[string]any{"iat": time.Now().Add(-2 * time.Minute).Unix()})}, "to come": {m.make("GET", api, token, map[string]any{"iat": time.Now().Add(time.Minute).Unix()})},
		"no iat": {m.make("GET", api, token, map[string]any{"iat": nil})}, "no jti": {m.make("GET", api, token, map[string]any{"jti": nil})},
		"another key": {proofMaker{t, newKey(t)}.make("GET", api, token, nil)}, "another type": {m.make("GET", api, token, nil, "typ", "JWT")},
		"no JWT": {"proof"}, "a broken signature": {m.make("GET", api, token, nil) + "AA"},
		"a signature by another": {signedByAnother(m, m.make("GET", api, token, nil))},
	} {
		r := m.ask(c, api, "DPoP", token, proofs...)
		if wantStatus(t, r, 401); !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "DPoP ") || r.status == 200 {
			t.Errorf("%s: %v", what, r.header)
		}
	}
	wantStatus(t, m.ask(c, api, "Bearer", token), 401)
	bearer := srv.BeginSession("bob").AccessToken
	wantStatus(t, m.ask(c, api, "Bearer", bearer), 200)
	wantStatus(t, m.ask(c, api, "DPoP", bearer, m.make("GET", api, bearer, nil)), 401)

	// A public client's refresh token is bound, too.
	req := refreshRequest(srv, tokens.text("refresh_token"))
	req.Header.Set("DPoP", proofMaker{t, newKey(t)}.make("POST", srv.TokenURL(), "", nil))
	r, err := send(c, req)
	wantError(t, must(t, r, err), 400, "invalid_grant")
	wantError(t, refresh(t, srv, c, tokens.text("refresh_token")), 400, "invalid_grant")
}

// signedByAnother returns the proof with the signature of another key.
func signedByAnother(m proofMaker, proof string) string {
	other := proofMaker{m.t, newKey(m.t)}.make("GET", "https://x", "", nil)
	return proof[:strings.LastIndexByte(proof, '.')] + other[strings.LastIndexByte(other, '.'):]
}

func TestDPoPDemanded(t *testing.T) {
	srv, c := newServer(t)
	srv.UpdatePolicy(func(p *testserver.Policy) { p.DPoP = true })
	wantError(t, refresh(t, srv, c, srv.BeginSession("alice").RefreshToken), 400, "invalid_dpop_proof")
	m := proofMaker{t, newKey(t)}
	m.begin(srv, c)

	// The code of a login that has named a key goes with that key alone (RFC 9449 §10).
	for _, maker := range []proofMaker{{t, newKey(t)}, m} {
		jkt, err := (&jose.JSONWebKey{Key: m.key.Public()}).Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		params := signIn(t, srv, "dpop_jkt", base64.RawURLEncoding.EncodeToString(jkt))
		req := tokenRequest(srv, url.Values{
			"grant_type": {"authorization_code"}, "code": {params.Get("code")}, "client_id": {"app"}, "redirect_uri": {"https://app.test/cb?x=1"}, "code_verifier": {verifier},
		})
		req.Header.Set("DPoP", maker.make("POST", srv.TokenURL(), "", nil))
		r, err := send(c, req)
		if must(t, r, err); (r.status == 200) != (maker.key == m.key) {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

func TestDPoPNonces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		m, api := proofMaker{t, newKey(t)}, srv.APIURL("/a")
		token := m.begin(srv, c).text("access_token")
		srv.UpdatePolicy(func(p *testserver.Policy) { p.DPoPNonce = true })
		try := func(nonce any, wantStatus int) (next string) {
			t.Helper()
			r := m.ask(c, api, "DPoP", token, m.make("GET", api, token, map[string]any{"nonce": nonce}))
			if r.status != wantStatus || wantStatus == 401 && !strings.Contains(r.header.Get("WWW-Authenticate"), `error="use_dpop_nonce"`) {
				t.Errorf("nonce %v: %d, %v", nonce, r.status, r.header)
			}
			return r.header.Get("DPoP-Nonce")
		}
		nonce := try(nil, 401)
		if again := try(nonce, 200); again != nonce {
			t.Error("a nonce is not the same for its time")
		}
		time.Sleep(5 * time.Minute)
		next := try(nonce, 200) // the one before
		if next == nonce {
			t.Error("a nonce never changes")
		}
		time.Sleep(5 * time.Minute)
		try(nonce, 401)
		try(next, 200)
		srv.RotateNonces()
		now := try(next, 401)
		try(now, 200)
		req := refreshRequest(srv, srv.BeginSession("alice").RefreshToken)
		req.Header.Set("DPoP", m.make("POST", srv.TokenURL(), "", map[string]any{"nonce": now}))
		r, err := send(c, req)
		wantError(t, must(t, r, err), 400, "use_dpop_nonce") // the API's is not the token endpoint's
		if of := r.header.Get("DPoP-Nonce"); of == "" || of == now {
			t.Errorf("the token endpoint's nonce is %q", of)
		}
	})
}
