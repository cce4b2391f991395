package tokenstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// A SealKey is a key of [Sealed]: 32 bytes for AES-256, and an id by which
// records say what they are sealed with.
//
// The id stands in each record and in errors, in the clear. It has 1 to 32
// ASCII letters, digits, '.', '-' or '_', and means the same key for ever: the
// date on which the key was made is a good one. The bytes must be random, as
// [GenerateSealKey] or "openssl rand -base64 32" make them; a password is no
// key. No verb of fmt, no slog handler, no encoder and no panic prints them, not
// even from an unexported field.
//
// The zero value is no key, and [NewSealed] refuses it. A SealKey never changes.
type SealKey struct {
	id  string
	key Secret // the 32 bytes
}

const (
	sealKeySize = 32
	maxSealID   = 32
)

// NewSealKey returns the key of these 32 bytes, which are copied. The errors
// show neither them nor the id, because either may be the secret by mistake.
func NewSealKey(id string, key []byte) (SealKey, error) {
	switch {
	case !validSealID(id):
		return SealKey{}, fmt.Errorf("tokenstore: id of a SealKey has %d bytes or a character that no id has, want 1 to %d letters, digits, '.', '-' or '_'", len(id), maxSealID)
	case len(key) != sealKeySize:
		return SealKey{}, fmt.Errorf("tokenstore: SealKey of %d bytes, want %d random ones", len(key), sealKeySize)
	case [sealKeySize]byte(key) == [sealKeySize]byte{}:
		return SealKey{}, errors.New("tokenstore: SealKey is all zeros, want random bytes; GenerateSealKey makes them")
	}
	return SealKey{id, NewSecret(string(key))}, nil
}

// ParseSealKey returns the key whose 32 bytes are written in base64, as in an
// environment variable: in the standard or the URL alphabet, padded or not, with
// white space around it or none. The errors show neither the text nor the id.
func ParseSealKey(id, text string) (SealKey, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	key, err := base64.RawStdEncoding.Strict().DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(text))
	if err != nil {
		return SealKey{}, fmt.Errorf("tokenstore: SealKey of %d characters is not base64, want %d bytes as \"openssl rand -base64 32\" prints them", len(text), sealKeySize)
	}
	return NewSealKey(id, key)
}

// GenerateSealKey returns a new random key. [SealKey.Reveal] gives the text to
// keep it by; who loses it loses the records.
func GenerateSealKey(id string) (SealKey, error) {
	key := make([]byte, sealKeySize)
	rand.Read(key)
	return NewSealKey(id, key)
}

// ID returns the id.
func (k SealKey) ID() string { return k.id }

// Reveal returns the key in base64, as [ParseSealKey] reads it.
func (k SealKey) Reveal() string {
	return base64.StdEncoding.EncodeToString([]byte(k.key.Reveal()))
}

// IsZero reports whether k is the zero value, which is no key.
func (k SealKey) IsZero() bool { return k.key.IsZero() }

// String returns the id, and that the rest is not shown.
func (k SealKey) String() string { return fmt.Sprintf("key(%q %s)", k.id, k.key) }

// Format prints what [SealKey.String] returns, for every verb.
func (k SealKey) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue is what slog handlers print.
func (k SealKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

var errSealKey = errors.New("tokenstore: a SealKey is not encoded; use SealKey.Reveal")

// MarshalText is an error: encoders that would print the key fail.
func (k SealKey) MarshalText() ([]byte, error) { return nil, errSealKey }

// GobEncode is an error: encoders that would print the key fail.
func (k SealKey) GobEncode() ([]byte, error) { return nil, errSealKey }

func validSealID(id string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return id != "" && len(id) <= maxSealID &&
		strings.Trim(id, letters+"ABCDEFGHIJKLMNOPQRSTUVWXYZ"+"0123456789.-_") == ""
}

// sealedPrefix begins what is sealed; no JSON begins like it. A format version,
// the id of the key and a line feed follow: that is the header, which is in the
// clear. The rest is what [cipher.NewGCMWithRandomNonce] makes: a nonce of 12
// bytes, the encrypted record and a tag of 16 bytes. The additional data is the
// header and then the store's key, so that each of them is bound to the record;
// the line feed keeps the two apart.
const sealedPrefix = "freshet-sealed "

// sealedVersion is the version of this format. What any version has sealed is
// opened for ever; testdata has one of each.
const sealedVersion = 1

func (k SealKey) header() string { return fmt.Sprintf("%s%d %s\n", sealedPrefix, sealedVersion, k.id) }

// aead makes the cipher anew each time, which is cheap beside a write. Kept in a
// field, it would be printed with its round keys by the verbs that fmt calls bad.
func (k SealKey) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher([]byte(k.key.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("tokenstore: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal returns record sealed for the store's key of that name.
func (k SealKey) seal(name string, record []byte) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	header := k.header()
	return aead.Seal([]byte(header), nil, record, []byte(header+name)), nil
}

// open returns the record that seal was given, never nil without an error. The
// header of sealed is that of k.
func (k SealKey) open(name string, sealed []byte) ([]byte, error) {
	header := k.header()
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	record, err := aead.Open([]byte{}, nil, sealed[len(header):], []byte(header+name))
	if err != nil {
		return nil, corrupt(sealed, fmt.Sprintf("sealed with key %q, and does not open: it was changed, belongs to another record or another store, or that id was given to two keys", k.id))
	}
	return record, nil
}
