package testserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"hash"
	"math/big"
	"strings"
	"time"
)

// accessJWT has no id of its own, so that two of one second are the same.
func (t *tokenTable) accessJWT(now, expires time.Time, sess *session, scope string) string {
	text := signingInput("at+jwt", "HS256", map[string]any{
		"sub": sess.account, "scope": scope, "iat": now.Unix(), "exp": expires.Unix(),
	})
	return text + "." + base64url(macOf(sha256.New, t.key, text))
}

// idToken is signed with the key that the metadata names (OpenID Connect Core §2).
func (t *tokenTable) idToken(p *Policy, now time.Time, sess *session) string {
	if !p.IDToken {
		return ""
	}
	claims := map[string]any{
		"iss": t.issuer, "sub": sess.account, "aud": sess.client, "email": sess.account + "@example.com",
		"iat": now.Unix(), "exp": now.Add(p.accessLifetime()).Unix(),
	}
	if sess.nonce != "" {
		claims["nonce"] = sess.nonce
	}
	text := signingInput("JWT", "ES256", claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, t.signer, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + base64url(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// publicKey returns the key of id_tokens as a JWK (RFC 7517).
func (t *tokenTable) publicKey() string {
	point, err := t.signer.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return members{"kty": `"EC"`, "crv": `"P-256"`, "alg": `"ES256"`, "use": `"sig"`, "x": quote(base64url(point[1:33])), "y": quote(base64url(point[33:]))}.String()
}

func (m members) String() string { return string(m.json()) }

func signingInput(typ, alg string, claims map[string]any) string {
	head, _ := json.Marshal(map[string]string{"alg": alg, "typ": typ})
	body, _ := json.Marshal(claims)
	return base64url(head) + "." + base64url(body)
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func macOf(h func() hash.Hash, key []byte, text string) []byte {
	mac := hmac.New(h, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// claims are those of a JWT, verified or not.
type claims map[string]any

func (c claims) text(name string) string { s, _ := c[name].(string); return s }

func (c claims) time(name string) time.Time {
	n, _ := c[name].(float64)
	return time.Unix(int64(n), 0)
}

// claimsOf returns the claims of a JWT without a look at its signature.
func claimsOf(jwt string) claims {
	var c claims
	parts := strings.Split(jwt, ".")
	if len(parts) == 3 {
		b, _ := base64.RawURLEncoding.DecodeString(parts[1])
		json.Unmarshal(b, &c)
	}
	return c
}

// verify reports whether the JWT is signed with the private half of key, or with the
// secret that key is.
func verify(jwt string, key any) bool {
	i := strings.LastIndexByte(jwt, '.')
	if i < 0 {
		return false
	}
	text := jwt[:i]
	head, _, _ := strings.Cut(jwt, ".")
	b, _ := base64.RawURLEncoding.DecodeString(head)
	var h struct{ Alg string }
	json.Unmarshal(b, &h)
	sig, err := base64.RawURLEncoding.DecodeString(jwt[i+1:])
	if err != nil || len(h.Alg) < 5 && h.Alg != "EdDSA" {
		return false
	}
	if pub, ok := key.(ed25519.PublicKey); ok {
		return (h.Alg == "EdDSA" || h.Alg == "Ed25519") && ed25519.Verify(pub, []byte(text), sig)
	}
	size, newHash := hashOf(h.Alg)
	if newHash == nil {
		return false
	}
	d := newHash()
	d.Write([]byte(text))
	sum := d.Sum(nil)
	switch key := key.(type) {
	case string:
		return h.Alg[:2] == "HS" && hmac.Equal(sig, macOf(newHash, []byte(key), text))
	case *rsa.PublicKey:
		return h.Alg[:2] == "RS" && rsa.VerifyPKCS1v15(key, size, sum, sig) == nil ||
			h.Alg[:2] == "PS" && rsa.VerifyPSS(key, size, sum, sig, nil) == nil
	case *ecdsa.PublicKey:
		n := (key.Curve.Params().BitSize + 7) / 8
		return h.Alg[:2] == "ES" && len(sig) == 2*n &&
			ecdsa.Verify(key, sum, new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]))
	}
	return false
}

func hashOf(alg string) (crypto.Hash, func() hash.Hash) {
	switch {
	case strings.HasSuffix(alg, "256"):
		return crypto.SHA256, sha256.New
	case strings.HasSuffix(alg, "384"):
		return crypto.SHA384, sha512.New384
	case strings.HasSuffix(alg, "512"):
		return crypto.SHA512, sha512.New
	}
	return 0, nil
}
