package client

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"

	"github.com/freshet-go/freshet/tokenstore"
)

// A proofKey makes proofs (RFC 9449 §4). It never changes and is safe for concurrent use.
type proofKey struct {
	signer     jose.OpaqueSigner
	algorithm  jose.SignatureAlgorithm
	header     string            // of its proofs, as they have it
	thumbprint string            // of the public key (RFC 7638)
	kept       tokenstore.Secret // what records have for it
}

// newProofKey returns a key that signs with signer; kept "" is for a key of the
// program's, of which records have the thumbprint alone.
func newProofKey(signer crypto.Signer, algorithm jose.SignatureAlgorithm, kept string) (*proofKey, error) {
	public := jose.JSONWebKey{Key: signer.Public()}
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	k := &proofKey{signer: cryptosigner.Opaque(signer), algorithm: algorithm, thumbprint: base64.RawURLEncoding.EncodeToString(sum)}
	header, err := json.Marshal(map[string]any{"typ": "dpop+jwt", "alg": algorithm, "jwk": public})
	if err != nil {
		return nil, err
	}
	k.header = base64.RawURLEncoding.EncodeToString(header)
	if kept == "" {
		kept = ownKey + k.thumbprint
	}
	k.kept = tokenstore.NewSecret(kept)
	return k, nil
}

// ownKey marks what is no key, but the thumbprint of DPoP.Key.
const ownKey = "jkt:"

// proofClaims are those of RFC 9449 §4.2.
type proofClaims struct {
	ID     string `json:"jti"`
	Method string `json:"htm"`
	URL    string `json:"htu"`
	Issued int64  `json:"iat"`
	Token  string `json:"ath,omitempty"`
	Nonce  string `json:"nonce,omitempty"`
}

// prove returns a new proof for req, which is to go with token, if there is one, to the
// server p.
func (k *proofKey) prove(req *http.Request, token string, p peer) (string, error) {
	c := proofClaims{ID: rand.Text(), Method: req.Method, URL: targetURI(req), Issued: time.Now().Add(p.skew).Unix(), Nonce: p.nonce}
	if c.Method == "" {
		c.Method = http.MethodGet
	}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		c.Token = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	claims, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	text := k.header + "." + base64.RawURLEncoding.EncodeToString(claims) // RFC 7515 §7.1
	signature, err := k.signer.SignPayload([]byte(text), k.algorithm)
	if err != nil {
		return "", fmt.Errorf("client: the proof of possession can't be signed: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// targetURI is the URI of a request as its server sees it, without query and fragment
// (RFC 9449 §4.2, RFC 3986 §6.2).
func targetURI(req *http.Request) string {
	path := req.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	return strings.ToLower(req.URL.Scheme) + "://" + plainHost(req.URL.Scheme, host) + path
}

// originOf returns where a request goes.
func originOf(req *http.Request) string {
	return strings.ToLower(req.URL.Scheme) + "://" + plainHost(req.URL.Scheme, req.URL.Host)
}

// plainHost returns host in lower case and without the port that the scheme has anyway.
func plainHost(scheme, host string) string {
	host = strings.ToLower(host)
	_, port, err := net.SplitHostPort(host)
	if err == nil && (port == "443" && strings.EqualFold(scheme, "https") || port == "80" && strings.EqualFold(scheme, "http")) {
		return strings.TrimSuffix(host, ":"+port)
	}
	return host
}

func isDPoP(name string) bool { return strings.EqualFold(name, "DPoP") }

// algorithm returns how a key signs.
func (d *DPoP) algorithm() (jose.SignatureAlgorithm, error) {
	if d.Key != nil {
		alg, err := PrivateKeyJWT{Key: d.Key, Algorithm: d.Algorithm}.algorithm()
		if err != nil {
			return "", errors.New(strings.TrimPrefix(err.Error(), "Auth."))
		}
		return alg, nil
	}
	alg := cmp.Or(jose.SignatureAlgorithm(d.Algorithm), jose.ES256)
	if generators[alg] == nil {
		return "", errors.New("Algorithm is none of ES256, ES384, ES512, EdDSA, RS256 and PS256")
	}
	return alg, nil
}

// newKey returns the program's own key, or a new one.
func (d *DPoP) newKey() (*proofKey, error) {
	alg, err := d.algorithm()
	if err != nil {
		return nil, err
	}
	if d.Key != nil {
		return newProofKey(d.Key, alg, "")
	}
	signer, err := generators[alg]()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, err
	}
	return newProofKey(signer, alg, base64.StdEncoding.EncodeToString(der))
}

// generators make keys that sign so.
var generators = map[jose.SignatureAlgorithm]func() (crypto.Signer, error){
	jose.ES256: onCurve(elliptic.P256()),
	jose.ES384: onCurve(elliptic.P384()),
	jose.ES512: onCurve(elliptic.P521()),
	jose.EdDSA: func() (crypto.Signer, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	},
	jose.RS256: newRSA,
	jose.PS256: newRSA,
}

func onCurve(curve elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) }
}

func newRSA() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }
