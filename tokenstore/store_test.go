package tokenstore_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
)

// Keys and tokens have visible ASCII characters, and errors say where another is.
func TestVisibleCharacters(t *testing.T) {
	for b := range 256 {
		want := b > ' ' && b < 0x7f
		for at, text := range []string{string([]byte{byte(b)}) + "bc", "a" + string([]byte{byte(b)}) + "c", "ab" + string([]byte{byte(b)})} {
			for what, err := range map[string]error{"CheckKey": tokenstore.CheckKey(text), "CheckToken": tokenstore.CheckToken(text)} {
				if (err == nil) != want || err != nil && !strings.Contains(err.Error(), fmt.Sprintf("at %d ", at)) {
					t.Errorf("%s(%q) = %v", what, text, err)
				}
			}
		}
	}
	for n, want := range map[int]bool{0: false, 1: true, 255: true, 256: false} {
		if err := tokenstore.CheckKey(strings.Repeat("k", n)); (err == nil) != want || err != nil && !errors.Is(err, tokenstore.ErrKey) {
			t.Errorf("CheckKey of %d bytes = %v", n, err)
		}
	}
	if err := tokenstore.CheckToken(""); err != nil {
		t.Errorf("CheckToken of no token = %v", err)
	}
}

// A store that can't list its keys says so in the sequence.
func TestKeysUnsupportedIsTold(t *testing.T) {
	for _, s := range []tokenstore.Store{bare{}, new(tokenstore.Funcs)} {
		n := 0
		for key, err := range tokenstore.Keys(t.Context(), s) {
			if n++; key != "" || !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%T: key %q, %v; want ErrUnsupported", s, key, err)
			}
		}
		if n != 1 {
			t.Errorf("%T: the sequence has %d elements, want one", s, n)
		}
	}
}

// A fingerprint can't be had by who only guesses the secret.
func TestFingerprintHasAKey(t *testing.T) {
	for name, key := range map[string][]byte{"none": nil, "zeros": make([]byte, sha256.Size)} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(canary))
		if got := tokenstore.NewSecret(canary).Fingerprint(); got == hex.EncodeToString(mac.Sum(nil)[:4]) {
			t.Errorf("the fingerprint is made with this key: %s", name)
		}
	}
}

// What encoders call is an error of its own, that says what to use.
func TestSecretsSayHowToEncode(t *testing.T) {
	s, k := tokenstore.NewSecret(canary), sealKey(t, "a")
	for name, encode := range map[string]func() ([]byte, error){
		"Secret.MarshalText": s.MarshalText, "Secret.MarshalJSON": s.MarshalJSON, "Secret.GobEncode": s.GobEncode,
		"SealKey.MarshalText": k.MarshalText, "SealKey.GobEncode": k.GobEncode,
		"Record.MarshalJSON": full().MarshalJSON, "Record.GobEncode": full().GobEncode,
	} {
		if b, err := encode(); b != nil || err == nil || !strings.Contains(err.Error(), "use ") {
			t.Errorf("%s = %q, %v; want an error that says what to use", name, b, err)
		}
	}
	for want, got := range map[string]string{s.String(): s.LogValue().String(), k.String(): k.LogValue().String()} {
		if got != want {
			t.Errorf("LogValue is %s, want %s", got, want)
		}
	}
	if !tokenstore.NewSecret("").IsZero() {
		t.Error("the empty secret is not zero")
	}
}

// Where nothing failed to open, no record is refused for what it says.
func TestSealedWritesWhateverTheRecordSays(t *testing.T) {
	s := sealed(t, new(tokenstore.Memory), "a")
	for _, record := range []string{"unopened ", "said: unopened "} {
		mustPut(t, s, "k", record)
		wantRecord(t, s, "k", record)
		err := s.Update(t.Context(), "k", func(_ context.Context, old []byte) ([]byte, error) { return append(old, '!'), nil })
		if err != nil {
			t.Error(err)
		}
		if err := s.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
	}
}

// A header that no version has written is damage, and no key that is missing.
func TestSealedHeaderThatIsNone(t *testing.T) {
	for id, unknown := range map[string]bool{"b": true, "": false, "b c": false, "b\x00": false, strings.Repeat("b", 33): false} {
		below := new(tokenstore.Memory)
		mustPut(t, below, "k", "freshet-sealed 1 "+id+"\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
		_, err := sealed(t, below, "a").Load(t.Context(), "k")
		if got := errors.As(err, new(*tokenstore.UnknownKeyError)); got != unknown || !errors.Is(err, tokenstore.ErrCorrupt) {
			t.Errorf("id %q: %v, UnknownKeyError %t; want %t", id, err, got, unknown)
		}
	}
}

// The error for a list of keys says which of them is none.
func TestNewSealedNamesTheZeroKey(t *testing.T) {
	_, err := tokenstore.NewSealed(new(tokenstore.Memory), sealKey(t, "a"), tokenstore.SealKey{}, sealKey(t, "c"))
	if err == nil || !strings.Contains(err.Error(), "key 2 of 3") {
		t.Errorf("NewSealed = %v, want an error for key 2 of 3", err)
	}
}

// What follows a key that is whole is not passed over.
func TestParseSealKeyReadsAll(t *testing.T) {
	text := sealKey(t, "a").Reveal()
	if _, err := tokenstore.ParseSealKey("a", text); err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"!", "!AAA", " A"} {
		if _, err := tokenstore.ParseSealKey("a", strings.TrimRight(text, "=")+more); err == nil || !strings.Contains(err.Error(), "not base64") {
			t.Errorf("with %q after it: %v", more, err)
		}
	}
}
