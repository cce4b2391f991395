package tokenstore

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// A Secret is text that must not be shown: a token, a key, a password. No verb
// of fmt, no slog handler, no encoder and no panic prints it, not even from an
// unexported field; [Secret.Reveal] is the one way to read it.
//
// The zero value is the empty secret. A Secret never changes; copies share the
// text. Compare with [Secret.Equal], not with ==.
type Secret struct {
	text *string // a pointer, because fmt reads the unexported fields of others
}

// NewSecret returns the Secret that keeps text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether the text is empty.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal reports whether s and t keep the same text, in a time that depends only
// on the lengths.
func (s Secret) Equal(t Secret) bool {
	return s.text == t.text ||
		subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

// fingerprintKey differs from process to process, so that a fingerprint in a
// log can't be compared with guesses.
var fingerprintKey = func() []byte {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return key
}()

// Fingerprint returns eight characters by which the secret can be told from
// others in the logs of this process, and "none" for the empty secret.
func (s Secret) Fingerprint() string {
	if s.IsZero() {
		return "none"
	}
	mac := hmac.New(sha256.New, fingerprintKey)
	io.WriteString(mac, s.Reveal())
	return hex.EncodeToString(mac.Sum(nil)[:4])
}

// String returns "[redacted]", or "[none]" for the empty secret.
func (s Secret) String() string {
	if s.IsZero() {
		return "[none]"
	}
	return "[redacted]"
}

// Format prints what [Secret.String] returns, for every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue is what slog handlers print.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

var errSecret = errors.New("tokenstore: a Secret is not encoded; use Record.Encode, or Secret.Reveal")

// MarshalText is an error: encoders that would print the secret fail.
func (s Secret) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalJSON is an error: encoders that would print the secret fail.
func (s Secret) MarshalJSON() ([]byte, error) { return nil, errSecret }

// GobEncode is an error: encoders that would print the secret fail.
func (s Secret) GobEncode() ([]byte, error) { return nil, errSecret }

// CheckToken returns an error unless token, an access or refresh token, has
// only visible ASCII characters, so that it can't end a header line or a log
// line. The error does not show it.
//
// RFC 6749 appendix A.12 and A.17 would allow spaces too; no server was seen
// that uses them, and RFC 6750 §2.1 forbids them on the wire.
func CheckToken(token string) error {
	if i := firstInvisible(token); i >= 0 {
		return fmt.Errorf("tokenstore: token of %d bytes has a character at %d that no token has", len(token), i)
	}
	return nil
}
