package tokenstore_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode"

	"github.com/freshet-go/freshet/tokenstore"
)

// FuzzParseSealKey checks that what is read is read again, that it is what
// encoding/base64 reads, and that errors show neither text nor id.
func FuzzParseSealKey(f *testing.F) {
	std := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef\xfb\xff\xfe0123456789abc"))
	for _, text := range []string{
		std, strings.TrimRight(std, "="), strings.NewReplacer("+", "-", "/", "_").Replace(std), " " + std + "\n", std + "=", std[:40], "=" + std,
		strings.Repeat("A", 43), strings.Repeat("A", 42) + "B", std[:20] + "\n" + std[20:], "", "\x00", strings.Repeat("é", 16),
	} {
		f.Add("2026-01", text)
	}
	f.Add("", std)
	f.Add("a b", std)
	f.Add(strings.Repeat("k", 33), std)
	f.Fuzz(func(t *testing.T, id, text string) {
		k, err := tokenstore.ParseSealKey(id, text)
		if err != nil {
			for _, secret := range []string{id, text} {
				if len(secret) > 12 && strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows %q: %v", secret, err)
				}
			}
			if !k.IsZero() {
				t.Error("a key and an error")
			}
			return
		}
		again, err := tokenstore.ParseSealKey(id, k.Reveal())
		if err != nil || again.Reveal() != k.Reveal() || k.ID() != id || again.ID() != id {
			t.Errorf("%q is read as %q, and that as %q, %v", text, k.Reveal(), again.Reveal(), err)
		}
		want, err := base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(strings.TrimSpace(text)))
		if err != nil || base64.StdEncoding.EncodeToString(want) != k.Reveal() || len(want) != 32 {
			t.Errorf("%q is read as %q, want %x, %v", text, k.Reveal(), want, err)
		}
		if id == "" || len(id) > 32 || strings.ContainsFunc(id, func(r rune) bool { return r > unicode.MaxASCII || r <= ' ' || r == '/' }) {
			t.Errorf("a key with the id %q", id)
		}
	})
}
