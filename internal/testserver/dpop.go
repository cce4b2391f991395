package testserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// How old a proof may be, and how far in the future, by the server's clock.
const (
	maxProofAge  = time.Minute
	maxProofLead = 5 * time.Second
)

// proofError is what is wrong with a proof: a code of RFC 9449, and a description.
type proofError struct{ code, description string }

func badProof(description string) *proofError { return &proofError{"invalid_dpop_proof", description} }

// checkProof checks the proof of r (RFC 9449 §4.3), and that it is made for token, if there
// is one, and returns the thumbprint of its key; "" where r has none. It has to have one of
// the nonces, unless they are "".
func (x *exchange) checkProof(r *http.Request, token, nonce, previous string) (jkt string, err *proofError) {
	list := r.Header.Values("DPoP")
	switch {
	case len(list) == 0:
		return "", nil
	case len(list) > 1:
		return "", badProof("there are several proofs")
	}
	h, c, fault := readProof(list[0])
	if fault != "" {
		return "", badProof(fault)
	}
	now := x.server.now()
	age := now.Sub(c.time("iat"))
	sum := sha256.Sum256([]byte(token))
	switch {
	case c.text("htm") != r.Method:
		return "", badProof("htm is not the method")
	case !x.sameURL(c.text("htu"), r.URL):
		return "", badProof("htu is not the URL")
	case age > maxProofAge || age < -maxProofLead:
		return "", badProof("iat is too old, or in the future")
	case token != "" && c.text("ath") != base64url(sum[:]):
		return "", badProof("ath is not the token's")
	case nonce != "" && c.text("nonce") != nonce && c.text("nonce") != previous:
		return "", &proofError{"use_dpop_nonce", "the proof needs the nonce that is in this answer"}
	case c.text("jti") == "" || !x.server.tokens.firstUse("dpop "+c.text("jti")):
		return "", badProof("jti is missing, or was used before")
	}
	return h.JWK.thumbprint(), nil
}

// sameURL compares htu with where r came, without query and fragment (RFC 9449 §4.3).
func (x *exchange) sameURL(htu string, at *url.URL) bool {
	u, err := url.Parse(htu)
	return err == nil && u.RawQuery == "" && u.Fragment == "" && !strings.ContainsAny(htu, "?#") &&
		u.Scheme == x.origin.scheme && strings.EqualFold(u.Host, x.origin.host) && u.EscapedPath() == at.EscapedPath()
}

// A Proof is a DPoP proof as it came.
type Proof struct {
	ID, Method, URL, Token, Nonce string // jti, htm, htu, ath and nonce
	Issued                        time.Time
	Thumbprint                    string // of its key (RFC 7638)
}

// ReadProof reads a proof and checks its header and its signature.
func ReadProof(text string) (Proof, error) {
	h, c, fault := readProof(text)
	if fault != "" {
		return Proof{}, errors.New(fault)
	}
	return Proof{c.text("jti"), c.text("htm"), c.text("htu"), c.text("ath"), c.text("nonce"), c.time("iat"), h.JWK.thumbprint()}, nil
}

// A proofHeader is the JOSE header of a proof.
type proofHeader struct {
	Typ, Alg string
	JWK      proofKey
}

// readProof reads a proof and checks its signature. A fault is what is wrong with it.
func readProof(text string) (h proofHeader, c claims, fault string) {
	head, _, _ := strings.Cut(text, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || json.Unmarshal(b, &h) != nil {
		return h, nil, "the proof is no JWT"
	}
	key := h.JWK.public()
	switch {
	case h.Typ != "dpop+jwt":
		return h, nil, "typ is not dpop+jwt"
	case strings.HasPrefix(h.Alg, "HS") || h.Alg == "none":
		return h, nil, "alg is not asymmetric"
	case h.JWK.D != "" || h.JWK.P != "":
		return h, nil, "jwk has a private key"
	case key == nil || !verify(text, key):
		return h, nil, "the signature is not that of jwk"
	}
	return h, claimsOf(text), ""
}

// A proofKey is a JWK (RFC 7517).
type proofKey struct{ Kty, Crv, X, Y, N, E, D, P string }

// public returns the public key, or nil.
func (k proofKey) public() crypto.PublicKey {
	number := func(text string) []byte {
		b, _ := base64.RawURLEncoding.DecodeString(text)
		return b
	}
	switch k.Kty {
	case "EC":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[k.Crv]
		if curve == nil {
			return nil
		}
		if key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, number(k.X), number(k.Y))); err == nil {
			return key
		}
	case "RSA":
		return &rsa.PublicKey{N: new(big.Int).SetBytes(number(k.N)), E: int(new(big.Int).SetBytes(number(k.E)).Int64())}
	case "OKP":
		if x := number(k.X); k.Crv == "Ed25519" && len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x)
		}
	}
	return nil
}

// thumbprint is that of RFC 7638.
func (k proofKey) thumbprint() string {
	text := fmt.Sprintf(`{"crv":%q,"kty":%q,"x":%q}`, k.Crv, k.Kty, k.X)
	switch k.Kty {
	case "EC":
		text = fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, k.Crv, k.X, k.Y)
	case "RSA":
		text = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, k.E, k.N)
	}
	sum := sha256.Sum256([]byte(text))
	return base64url(sum[:])
}

// nonces returns the nonce that is in force at a kind of endpoint and the one before; none
// where the policy demands none.
func (s *Server) nonces(p *Policy, kind Endpoint) (now, previous string) {
	if !p.DPoPNonce {
		return "", ""
	}
	lifetime := p.DPoPNonceLifetime
	if lifetime == 0 {
		lifetime = 5 * time.Minute
	}
	epoch := s.now().UnixNano() / int64(lifetime)
	nonce := func(epoch int64) string {
		return s.seal(fmt.Sprint("nonce ", kind, " ", s.nonceTurn.Load(), " ", epoch))[:32]
	}
	return nonce(epoch), nonce(epoch - 1)
}

// RotateNonces makes every DPoP nonce so far a wrong one.
func (s *Server) RotateNonces() { s.nonceTurn.Add(1) }

// provedToken checks the proof of a token request, and demands one where the policy does.
func (x *exchange) provedToken(w http.ResponseWriter, p *Policy, r *http.Request) *oauthError {
	nonce, previous := x.server.nonces(p, Token)
	if nonce != "" {
		w.Header().Set("DPoP-Nonce", nonce)
	}
	jkt, err := x.checkProof(r, "", nonce, previous)
	if err == nil && jkt == "" && p.DPoP {
		err = badProof("a proof is required")
	}
	if err != nil {
		return badRequest(err.code, err.description)
	}
	x.jkt = jkt
	return nil
}

// bind binds what was granted to the key of the request's proof: the access token, and the
// refresh token of a public client (RFC 9449 §5).
func (x *exchange) bind(p *Policy, client string, g *granted) {
	if x.jkt == "" {
		return
	}
	g.bound = true
	t := &x.server.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.access[g.access]
	at.jkt = x.jkt
	if g.refresh != "" && p.Clients[client] == "" && p.ClientKeys[client] == nil {
		at.session.jkt = x.jkt
	}
}

// checkBound checks at the API that a token comes with the proof of its key, and without
// one if it has none (RFC 9449 §7.1).
func (x *exchange) checkBound(r *http.Request, scheme, token, nonce, previous string) *proofError {
	jkt := x.server.boundTo(token)
	if (scheme == "dpop") != (jkt != "") {
		return &proofError{"invalid_token", "the scheme is not that of the token"}
	}
	if jkt == "" {
		return nil
	}
	proved, err := x.checkProof(r, token, nonce, previous)
	switch {
	case err != nil:
		return err
	case proved == "":
		return badProof("a proof is required")
	case proved != jkt:
		return &proofError{"invalid_token", "the token is bound to another key"}
	}
	return nil
}

// boundTo returns the thumbprint of the key to which an access token is bound, or "".
func (s *Server) boundTo(token string) string {
	if s.upstream != nil {
		if s.upstream.Bound == nil {
			return ""
		}
		return s.upstream.Bound(token)
	}
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	if at := s.tokens.access[token]; at != nil {
		return at.jkt
	}
	return ""
}
