package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/freshet-go/freshet/tokenstore"
)

// A tokenSite is a site whose token requests are handed to a func.
type tokenSite struct {
	site
	got func(form string)
}

func (s *tokenSite) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost {
		b, _ := io.ReadAll(req.Body)
		s.got(string(b))
	}
	return s.site.RoundTrip(req)
}

func pemOf(t testing.TB, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func jwkOf(t testing.TB, key any, id, alg string) string {
	t.Helper()
	b, err := jose.JSONWebKey{Key: key, KeyID: id, Algorithm: alg}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParsePrivateKey(t *testing.T) {
	r, e, e3, ed := rsaKey(t), ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), edKey(t)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this Go makes no short keys: ", err)
	}
	p224 := ecKey(t, elliptic.P224())
	pkcs8 := func(key any) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return pemOf(t, "PRIVATE KEY", der, err)
	}
	sec1 := func(key *ecdsa.PrivateKey) string {
		der, err := x509.MarshalECPrivateKey(key)
		return pemOf(t, "EC PRIVATE KEY", der, err)
	}
	public := func(key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		return pemOf(t, "PUBLIC KEY", der, err)
	}
	params := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	for name, test := range map[string]struct {
		text, id, alg string
		err           error
	}{
		"PKCS #8 RSA":        {text: pkcs8(r), alg: "RS256"},
		"PKCS #8 EC":         {text: pkcs8(e3), alg: "ES384"},
		"PKCS #8 Ed25519":    {text: pkcs8(ed), alg: "EdDSA"},
		"PKCS #1":            {text: pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r), nil), alg: "RS256"},
		"SEC 1":              {text: sec1(e), alg: "ES256"},
		"openssl ecparam":    {text: params + sec1(e), alg: "ES256"},
		"with a certificate": {text: pemOf(t, "CERTIFICATE", []byte("x"), nil) + pkcs8(e), alg: "ES256"},
		"text around it":     {text: "Bag Attributes\n" + pkcs8(e) + "\nend\n", alg: "ES256"},
		"JWK RSA":            {text: jwkOf(t, r, "k1", "PS256"), id: "k1", alg: "PS256"},
		"JWK EC":             {text: " \n" + jwkOf(t, e, "k2", "") + "\n", id: "k2", alg: "ES256"},
		"JWK Ed25519":        {text: jwkOf(t, ed, "", ""), alg: "EdDSA"},
		"nothing":            {text: "", err: errKeyNone},
		"text":               {text: "canary", err: errKeyNone},
		"several":            {text: pkcs8(r) + pkcs8(e), err: errKeySeveral},
		"public":             {text: public(e.Public()), err: errKeyPublic},
		"certificate":        {text: pemOf(t, "CERTIFICATE", []byte("x"), nil), err: errKeyPublic},
		"encrypted":          {text: pemOf(t, "ENCRYPTED PRIVATE KEY", []byte("x"), nil), err: errKeyEncrypted},
		"encrypted, old":     {text: "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", err: errKeyEncrypted},
		"broken":             {text: pemOf(t, "PRIVATE KEY", []byte("canary"), nil), err: errKeyBroken},
		"JWK public":         {text: jwkOf(t, e.Public(), "", ""), err: errKeyPublic},
		"JWK secret":         {text: `{"kty":"oct","k":"Y2FuYXJ5"}`, err: errKeySymmetric},
		"JWK set":            {text: `{"keys":[` + jwkOf(t, e, "", "") + `]}`, err: errKeySeveral},
		"JWK broken":         {text: `{"kty":"EC","crv":"P-256","d":"canary","x":"canary","y":"canary"}`, err: errKeyBroken},
		"JSON broken":        {text: `{"kty":"EC"`, err: errKeyBroken},
		"RSA 1024":           {text: pkcs8(short), err: errors.New("client: ParsePrivateKey: Key is an RSA key of less than 2048 bits")},
		"P-224":              {text: pkcs8(p224), err: errors.New("client: ParsePrivateKey: Key is of a kind that can't sign a JWT")},
		"JWK wrong alg":      {text: jwkOf(t, e, "", "RS256"), err: errors.New("client: ParsePrivateKey: Algorithm is none that Key can do")},
	} {
		t.Run(name, func(t *testing.T) {
			auth, err := ParsePrivateKey([]byte(test.text))
			if test.err != nil {
				if err == nil || !strings.HasPrefix(err.Error(), test.err.Error()) || strings.Contains(err.Error(), "canary") || auth.Key != nil {
					t.Errorf("%v, want %v", err, test.err)
				}
				return
			}
			if alg, bad := auth.algorithm(); err != nil || bad != nil || string(alg) != test.alg || auth.KeyID != test.id {
				t.Errorf("%v with %s and key id %q, %v; want %s and %q", err, alg, auth.KeyID, bad, test.alg, test.id)
			}
		})
	}
}

func TestClientAuth_is_checked(t *testing.T) {
	e := ecKey(t, elliptic.P256())
	for _, test := range []struct {
		want   string
		auth   Auth
		secret string
	}{
		{"Auth.Key is nil", PrivateKeyJWT{}, ""},
		{"Auth.Algorithm is none", PrivateKeyJWT{Key: e, Algorithm: "none"}, ""},
		{"Auth.Algorithm is none", PrivateKeyJWT{Key: e, Algorithm: "RS256"}, ""},
		{"Auth does not use it", PrivateKeyJWT{Key: e}, "canary"},
		{"Auth needs one", ClientSecretJWT{}, ""},
		{"too short for ClientSecretJWT, which needs 32 bytes", ClientSecretJWT{}, strings.Repeat("x", 31)},
		{"which needs 64 bytes for HS512", ClientSecretJWT{Algorithm: "HS512"}, strings.Repeat("x", 63)},
		{"none of HS256", ClientSecretJWT{Algorithm: "RS256"}, strings.Repeat("x", 64)},
		{"no certificate or no private key", MutualTLS{}, ""},
		{"Auth does not use it", MutualTLS{Certificate: certificate(t)}, "canary"},
	} {
		err := goodConfig(func(c *Config) { c.Auth, c.ClientSecret = test.auth, test.secret }).check()
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%T: %v, want %q", test.auth, err, test.want)
		}
	}
	err := goodConfig(func(c *Config) {
		c.Auth, c.TokenClient = MutualTLS{Certificate: certificate(t)}, &http.Client{Transport: site{}}
	}).check()
	if err == nil || !strings.Contains(err.Error(), "no *http.Transport") {
		t.Errorf("a transport of another kind: %v", err)
	}
}

// certificate returns a client's certificate, signed by itself.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key := ecKey(t, elliptic.P256())
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: testID}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// By mutual TLS the client shows its certificate to the server, at the endpoints that the
// metadata has for it, and to the API (RFC 8705 §3, §5).
func TestMutualTLS(t *testing.T) {
	cert := certificate(t)
	var mu sync.Mutex
	var seen []string
	var srv *httptest.Server
	srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shows := len(r.TLS.PeerCertificates) == 1 && slices.Equal(r.TLS.PeerCertificates[0].Raw, cert.Certificate[0])
		r.ParseForm()
		mu.Lock()
		seen = append(seen, fmt.Sprintf("%s %s certificate=%t client_id=%s auth=%t", r.Method, r.URL.Path, shows, r.PostForm.Get("client_id"), r.Header.Get("Authorization") != ""))
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/.well-known/oauth-authorization-server":
			json.NewEncoder(w).Encode(map[string]any{
				"issuer": srv.URL, "token_endpoint": srv.URL + "/plain", "revocation_endpoint": srv.URL + "/revoke",
				"mtls_endpoint_aliases": map[string]string{"token_endpoint": srv.URL + "/mtls"},
			})
		case "/mtls":
			io.WriteString(w, `{"access_token":"at","token_type":"Bearer","expires_in":3600}`)
		}
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	defer srv.Close()
	trusting := srv.Client().Transport.(*http.Transport)
	c, err := New(Config{Issuer: srv.URL, ClientID: testID, Auth: MutualTLS{cert}, TokenClient: &http.Client{Transport: trusting}, Store: new(tokenstore.Memory)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	s := c.Session("alice")
	if err := s.source.Set(t.Context(), refreshable("rt")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(trusting.TLSClientConfig.Certificates) != 0 || c.cfg.Base == nil || c.cfg.Base == http.DefaultTransport {
		t.Error("the program's transport was changed, or the API's has no certificate")
	}
	c.cfg.Base.(*http.Transport).TLSClientConfig.RootCAs = trusting.TLSClientConfig.RootCAs
	resp, err := s.HTTPClient().Get(srv.URL + "/api")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	want := []string{
		"GET /.well-known/oauth-authorization-server certificate=true client_id= auth=false",
		"POST /mtls certificate=true client_id=app auth=false",
		"GET /api certificate=true client_id= auth=true",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("the server saw\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
	own := newTokenEndpoint(Config{Issuer: srv.URL, ClientID: testID, Auth: MutualTLS{cert}}).own
	if len(own.TLSClientConfig.Certificates) != 1 || !own.ForceAttemptHTTP2 {
		t.Error("the client's own transport has no certificate")
	}
}

// FuzzParsePrivateKey: whatever is in the file, there is a key that signs or an error
// that shows nothing of it.
func FuzzParsePrivateKey(f *testing.F) {
	e := ecKey(f, elliptic.P256())
	der, err := x509.MarshalPKCS8PrivateKey(e)
	f.Add([]byte(pemOf(f, "PRIVATE KEY", der, err)))
	f.Add([]byte(jwkOf(f, e, "k", "ES256")))
	f.Add([]byte(`{"kty":"oct","k":"Y2FuYXJ5"}`))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		auth, err := ParsePrivateKey(text)
		if err != nil {
			if auth.Key != nil || len(err.Error()) > 300 {
				t.Errorf("key there: %t; %.400v", auth.Key != nil, err)
			}
			return
		}
		form := map[string][]string{}
		if err := auth.authenticate(identity{id: testID, audience: testIssuer}, form, nil); err != nil || form["client_assertion"] == nil {
			t.Errorf("the key does not sign: %v", err)
		}
	})
}
