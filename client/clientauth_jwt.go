package client

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
)

// assertionLifetime is how long a JWT is good with which a client authenticates. It is
// made for one request.
const assertionLifetime = time.Minute

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// ClientSecretJWT authenticates by a JWT that the client secret has signed, so that the
// secret itself is not sent (RFC 7523 §2.2, OpenID Connect Core §9).
type ClientSecretJWT struct {
	// Algorithm is HS256, HS384 or HS512. If empty, HS256. The secret has to have as
	// many bits at least (RFC 7518 §3.2).
	Algorithm string
}

func (a ClientSecretJWT) authenticate(c identity, form url.Values, _ http.Header) error {
	return assert(c, form, jose.SigningKey{Algorithm: a.algorithm(), Key: []byte(c.secret.Reveal())}, "")
}

func (ClientSecretJWT) takesSecret() bool { return true }

func (a ClientSecretJWT) algorithm() jose.SignatureAlgorithm {
	if a.Algorithm == "" {
		return jose.HS256
	}
	return jose.SignatureAlgorithm(a.Algorithm)
}

func (a ClientSecretJWT) check(c *Config, p *problems) {
	least := map[jose.SignatureAlgorithm]int{jose.HS256: 32, jose.HS384: 48, jose.HS512: 64}[a.algorithm()]
	switch {
	case least == 0:
		p.add("Auth.Algorithm is none of HS256, HS384 and HS512")
	case c.ClientSecret != "" && len(c.ClientSecret) < least:
		p.add("ClientSecret is too short for ClientSecretJWT, which needs %d bytes for %s: have the server make a longer one, or use ClientSecretBasic", least, a.algorithm())
	}
}

// PrivateKeyJWT authenticates by a JWT that a private key has signed, of which the server
// has the public half (RFC 7523 §2.2, OpenID Connect Core §9). [ParsePrivateKey] makes one
// of a file.
//
// Printed, it shows nothing of the key, unless it is in an unexported field.
type PrivateKeyJWT struct {
	// Key signs: an *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey, or a key
	// in hardware with one of their public halves. It is required, and has to be safe
	// for concurrent use.
	Key crypto.Signer

	// KeyID is the name that the server has for the key. If empty, none is sent.
	KeyID string

	// Algorithm is how it signs (RFC 7518 §3.1). If empty, RS256, ES256, ES384, ES512
	// or EdDSA, as the key is.
	Algorithm string
}

func (a PrivateKeyJWT) authenticate(c identity, form url.Values, _ http.Header) error {
	alg, err := a.algorithm()
	if err != nil {
		return err
	}
	return assert(c, form, jose.SigningKey{Algorithm: alg, Key: cryptosigner.Opaque(a.Key)}, a.KeyID)
}

func (PrivateKeyJWT) takesSecret() bool { return false }

// algorithm returns how the key signs.
func (a PrivateKeyJWT) algorithm() (jose.SignatureAlgorithm, error) {
	if a.Key == nil {
		return "", errors.New("Auth.Key is nil: give the private key; ParsePrivateKey reads one")
	}
	can := cryptosigner.Opaque(a.Key).Algs()
	switch {
	case len(can) == 0:
		return "", errors.New("Auth.Key is of a kind that can't sign a JWT: use RSA, P-256, P-384, P-521 or Ed25519")
	case tooShort(a.Key.Public()):
		return "", errors.New("Auth.Key is an RSA key of less than 2048 bits, which servers refuse (RFC 7518 §3.3): make a longer one")
	case a.Algorithm == "" && slices.Contains(can, jose.RS256):
		return jose.RS256, nil
	case a.Algorithm == "":
		return can[0], nil
	case !slices.Contains(can, jose.SignatureAlgorithm(a.Algorithm)):
		return "", fmt.Errorf("Auth.Algorithm is none that Key can do: leave it empty, or choose of %v", can)
	}
	return jose.SignatureAlgorithm(a.Algorithm), nil
}

func (a PrivateKeyJWT) check(_ *Config, p *problems) {
	if _, err := a.algorithm(); err != nil {
		p.add("%w", err)
	}
}

// String describes the authentication without the key.
func (a PrivateKeyJWT) String() string {
	return fmt.Sprintf("client.PrivateKeyJWT(key id %q)", a.KeyID)
}

// Format prints what [PrivateKeyJWT.String] returns, for every verb.
func (a PrivateKeyJWT) Format(f fmt.State, _ rune) { io.WriteString(f, a.String()) }

// LogValue is what slog handlers print.
func (a PrivateKeyJWT) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalText is an error: encoders that would show the key fail.
func (a PrivateKeyJWT) MarshalText() ([]byte, error) { return nil, errKey }

// GobEncode is an error: encoders that would show the key fail.
func (a PrivateKeyJWT) GobEncode() ([]byte, error) { return nil, errKey }

var errKey = errors.New("client: a private key is not encoded")

// assert puts a new JWT into the form (RFC 7523 §3). Its audience is one string and not
// what the request is sent to: an attacker's server that names an honest one's token
// endpoint gets nothing that it could use there.
func assert(c identity, form url.Values, key jose.SigningKey, keyID string) error {
	opts := new(jose.SignerOptions).WithType("JWT")
	if keyID != "" {
		opts.WithHeader("kid", keyID)
	}
	signer, err := jose.NewSigner(key, opts)
	if err != nil {
		return fmt.Errorf("client: the JWT of the client can't be signed: %w", err)
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": c.id, "sub": c.id, "aud": c.audience, "jti": randomText(),
		"iat": now.Unix(), "exp": now.Add(assertionLifetime).Unix(),
	})
	if err != nil {
		return err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return fmt.Errorf("client: the JWT of the client can't be signed: %w", err)
	}
	text, err := signed.CompactSerialize()
	form.Set("client_id", c.id)
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", text)
	return err
}
