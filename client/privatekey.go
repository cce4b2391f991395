package client

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

var (
	errKeyNone      = errors.New("client: ParsePrivateKey: there is no private key: give a PEM block (PRIVATE KEY) or a JWK")
	errKeyBroken    = errors.New("client: ParsePrivateKey: the key can't be read")
	errKeyPublic    = errors.New("client: ParsePrivateKey: the key is the public half; the server needs that one, this program the private one")
	errKeySeveral   = errors.New("client: ParsePrivateKey: there are several keys: give the one that is to be used")
	errKeyEncrypted = errors.New("client: ParsePrivateKey: the key is encrypted: decrypt it first, with openssl pkey or the like")
	errKeySymmetric = errors.New("client: ParsePrivateKey: the key is a shared secret: use it as Config.ClientSecret with ClientSecretJWT")
)

// ParsePrivateKey reads a private key for [PrivateKeyJWT]: one PEM block (PKCS #8, PKCS #1
// or SEC 1), or a JWK, of which the key id and the algorithm are taken over (RFC 7517 §4).
// It is RSA of 2048 bits or more, EC on P-256, P-384 or P-521, or Ed25519. An error shows
// nothing of the key.
func ParsePrivateKey(pemOrJWK []byte) (PrivateKeyJWT, error) {
	read := readPEM
	if bytes.HasPrefix(bytes.TrimSpace(pemOrJWK), []byte("{")) {
		read = readJWK
	}
	auth, err := read(pemOrJWK)
	if err != nil {
		return PrivateKeyJWT{}, err
	}
	if _, err := auth.algorithm(); err != nil {
		return PrivateKeyJWT{}, errors.New("client: ParsePrivateKey: " + strings.TrimPrefix(err.Error(), "Auth."))
	}
	return auth, nil
}

func readJWK(text []byte) (PrivateKeyJWT, error) {
	ms, err := readJSON(bytes.TrimSpace(text))
	var k jose.JSONWebKey
	switch {
	case err != nil:
		return PrivateKeyJWT{}, errKeyBroken
	case !ms.absent("keys"):
		return PrivateKeyJWT{}, errKeySeveral
	case string(ms["kty"]) == `"oct"`:
		return PrivateKeyJWT{}, errKeySymmetric
	case k.UnmarshalJSON(text) != nil:
		return PrivateKeyJWT{}, errKeyBroken
	case k.IsPublic():
		return PrivateKeyJWT{}, errKeyPublic
	}
	key, ok := k.Key.(crypto.Signer)
	if !ok || !k.Valid() {
		return PrivateKeyJWT{}, errKeyBroken
	}
	return PrivateKeyJWT{Key: key, KeyID: k.KeyID, Algorithm: k.Algorithm}, nil
}

func readPEM(text []byte) (PrivateKeyJWT, error) {
	var found *pem.Block
	public := false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["Proc-Type"] != "":
			return PrivateKeyJWT{}, errKeyEncrypted
		case strings.HasSuffix(block.Type, "PRIVATE KEY") && found != nil:
			return PrivateKeyJWT{}, errKeySeveral
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			found = block
		case strings.HasSuffix(block.Type, "PUBLIC KEY") || block.Type == "CERTIFICATE":
			public = true
		}
	}
	switch {
	case found == nil && public:
		return PrivateKeyJWT{}, errKeyPublic
	case found == nil:
		return PrivateKeyJWT{}, errKeyNone
	}
	key, ok := parseDER(found.Bytes).(crypto.Signer)
	if !ok {
		return PrivateKeyJWT{}, errKeyBroken
	}
	return PrivateKeyJWT{Key: key}, nil
}

// parseDER returns a private key in any of the three formats, or nil: labels are not
// always right.
func parseDER(der []byte) any {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	return nil
}

func tooShort(key crypto.PublicKey) bool {
	k, ok := key.(*rsa.PublicKey)
	return ok && k.N.BitLen() < 2048
}
