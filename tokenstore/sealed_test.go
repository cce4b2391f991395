package tokenstore_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
)

// sealKey returns a key of 32 bytes that are all the first letter of its id.
func sealKey(t testing.TB, id string) tokenstore.SealKey {
	t.Helper()
	k, err := tokenstore.NewSealKey(id, bytes.Repeat([]byte(id[:1]), 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sealed returns a Sealed around s with the keys of these ids.
func sealed(t testing.TB, s tokenstore.Store, ids ...string) *tokenstore.Sealed {
	t.Helper()
	var keys []tokenstore.SealKey
	for _, id := range ids {
		keys = append(keys, sealKey(t, id))
	}
	store, err := tokenstore.NewSealed(s, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// stored returns the bytes that a store has.
func stored(t testing.TB, s tokenstore.Store, key string) []byte {
	t.Helper()
	b, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sealByHand seals as the format is described, and with the nonce given.
func sealByHand(t testing.TB, id, key, nonce, name, record string) []byte {
	t.Helper()
	header := "freshet-sealed 1 " + id + "\n"
	b := gcm(t, key).Seal([]byte(header+nonce), []byte(nonce), []byte(record), []byte(header+name))
	return b
}

func gcm(t testing.TB, key string) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

// refuse does with a record that can't be read what a refresh does.
func refuse(_ context.Context, old []byte) ([]byte, error) {
	_, err := tokenstore.DecodeRecord(old)
	return nil, err
}

// wantUnopened checks that s can't read the record under key, for the reason
// want, that neither a refresh nor a function which returns what it got changes
// a byte of it, and that a login replaces it.
func wantUnopened(t *testing.T, below tokenstore.Store, s *tokenstore.Sealed, key string, want error) {
	t.Helper()
	before := stored(t, below, key)
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, want) || !errors.Is(err, tokenstore.ErrCorrupt) {
			t.Errorf("%s = %v, want %v", what, err, want)
		}
		if after := stored(t, below, key); !bytes.Equal(after, before) {
			t.Errorf("%s changed the record from %.60q to %.60q", what, before, after)
		}
	}
	b, err := s.Load(t.Context(), key)
	if b != nil {
		t.Errorf("Load = %.60q", b)
	}
	check("Load", err)
	check("a refresh", s.Update(t.Context(), key, func(ctx context.Context, old []byte) ([]byte, error) {
		_, refused := refuse(ctx, old)
		if old == nil || !errors.Is(refused, tokenstore.ErrCorrupt) {
			t.Errorf("next gets %.60q, which DecodeRecord does not refuse: %v", old, refused)
		}
		return nil, refused
	}))
	said := fmt.Errorf("said by next: %w", tokenstore.ErrCorrupt)
	err = s.Update(t.Context(), key, func(context.Context, []byte) ([]byte, error) { return nil, said })
	if check("Update", err); !errors.Is(err, said) {
		t.Errorf("Update = %v, want it to wrap the error of next", err)
	}
	for _, more := range []string{"", "more"} {
		check("writing it back", s.Update(t.Context(), key, func(_ context.Context, old []byte) ([]byte, error) {
			return append(old, more...), nil
		}))
	}
	mine := errors.New("mine")
	if err := s.Update(t.Context(), key, func(context.Context, []byte) ([]byte, error) { return nil, mine }); err != mine {
		t.Errorf("Update = %v, want the error of next", err)
	}
	if err := s.Update(t.Context(), key, func(context.Context, []byte) ([]byte, error) { return nil, tokenstore.ErrUnchanged }); err != nil {
		t.Errorf("Update = %v, want nil for ErrUnchanged", err)
	}
	check("Load again", func() error { _, err := s.Load(t.Context(), key); return err }())
	mustPut(t, s, key, "login")
	wantRecord(t, s, key, "login")
}

// wantNewer checks that s leaves the record under key to a newer program.
func wantNewer(t *testing.T, below tokenstore.Store, s *tokenstore.Sealed, key string) {
	t.Helper()
	before := stored(t, below, key)
	_, err := s.Load(t.Context(), key)
	for what, err := range map[string]error{"Load": err, "Update": s.Update(t.Context(), key, neverNext(t))} {
		if !errors.Is(err, tokenstore.ErrVersion) {
			t.Errorf("%s = %v, want ErrVersion", what, err)
		}
	}
	if !bytes.Equal(stored(t, below, key), before) {
		t.Error("the record has changed")
	}
}

// An error of next that is ErrCorrupt is not taken for a record that does not
// open.
func TestSealedErrorOfNext(t *testing.T) {
	s := sealed(t, new(tokenstore.Memory), "a")
	mustPut(t, s, "k", "old")
	err := s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { return []byte("x"), tokenstore.ErrCorrupt })
	if err != tokenstore.ErrCorrupt {
		t.Errorf("Update = %v, want the error of next itself", err)
	}
	wantRecord(t, s, "k", "old")
}

// A Dir notices that a sealed record was changed meanwhile, by its bytes.
func TestSealedConflict(t *testing.T) {
	dir := newDir(t)
	s := sealed(t, dir, "a")
	mustPut(t, s, "k", "old")
	hand := sealByHand(t, "a", strings.Repeat("a", 32), "nonce-------", "k", "old")
	err := s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) {
		return []byte("new"), os.WriteFile(string(dir)+"/k.json", hand, 0o600)
	})
	if !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("Update = %v, want ErrConflict", err)
	}
	wantRecord(t, s, "k", "old")
}

// The longest id leaves a record of the greatest size room enough.
func TestSealedLongestID(t *testing.T) {
	below := new(tokenstore.Memory)
	s := sealed(t, below, strings.Repeat("i", 32))
	mustPut(t, s, strings.Repeat("k", 255), strings.Repeat("r", tokenstore.MaxRecord-128))
	if n := len(stored(t, below, strings.Repeat("k", 255))); n > tokenstore.MaxRecord {
		t.Errorf("%d bytes are stored", n)
	}
}

// Encryption is switched on without a logout, but only by a program that says so.
func TestSealedPlaintext(t *testing.T) {
	each(t, func(t *testing.T, below tokenstore.Store) {
		b, err := full().Encode()
		if err != nil {
			t.Fatal(err)
		}
		record := string(b)
		mustPut(t, below, "k", record)
		wantUnopened(t, below, sealed(t, below, "a"), "k", tokenstore.ErrPlaintext)
		mustPut(t, below, "k", strings.Replace(record, `"v":1`, `"v":2`, 1))
		wantNewer(t, below, sealed(t, below, "a"), "k")

		mustPut(t, below, "k", record)
		s := sealed(t, below, "a")
		s.DangerouslyOpenPlaintext = true
		wantRecord(t, s, "k", record)
		if err := s.Update(t.Context(), "k", func(_ context.Context, old []byte) ([]byte, error) { return old, nil }); err != nil {
			t.Fatal(err)
		}
		if b := stored(t, below, "k"); bytes.Contains(b, []byte("rt-7")) {
			t.Errorf("stored %.80q", b)
		}
		wantRecord(t, sealed(t, below, "a"), "k", record)

		// What is neither sealed nor a record is not let in: a sealed record with
		// another first byte would be.
		for _, record := range []string{"", "{}", "plain", "Freshet-sealed 1 a\n"} {
			mustPut(t, below, "k", record)
			wantUnopened(t, below, s, "k", tokenstore.ErrCorrupt)
		}
	})
}

func TestNewSealed(t *testing.T) {
	a, store := sealKey(t, "a"), new(tokenstore.Memory)
	for want, f := range map[string]func() (*tokenstore.Sealed, error){
		"without a store": func() (*tokenstore.Sealed, error) { return tokenstore.NewSealed(nil, a) },
		"without a key":   func() (*tokenstore.Sealed, error) { return tokenstore.NewSealed(store) },
		"zero SealKey":    func() (*tokenstore.Sealed, error) { return tokenstore.NewSealed(store, a, tokenstore.SealKey{}) },
		`have the id "a"`: func() (*tokenstore.Sealed, error) { return tokenstore.NewSealed(store, a, sealKey(t, "b"), a) },
		"made by NewSealed": func() (*tokenstore.Sealed, error) {
			s := new(tokenstore.Sealed)
			_, err := s.Load(t.Context(), "k")
			for _, keysErr := range []error{err, s.Update(t.Context(), "k", neverNext(t)), s.Delete(t.Context(), "k")} {
				if keysErr == nil {
					t.Error("the zero Sealed does something")
				}
			}
			for _, err := range s.Keys(t.Context()) {
				return nil, err
			}
			return s, nil
		},
	} {
		if s, err := f(); s != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v; want an error with %q", s, err, want)
		}
	}
	keys := []tokenstore.SealKey{a}
	s, err := tokenstore.NewSealed(store, keys...)
	if err != nil {
		t.Fatal(err)
	}
	keys[0] = tokenstore.SealKey{}
	mustPut(t, s, "k", "x") // the keys were copied
	for _, err := range sealed(t, bare{}, "a").Keys(t.Context()) {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Keys = %v, want ErrUnsupported", err)
		}
	}
}

func TestSealKey(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb, 0xff}, 16) // so that the alphabets differ
	want, err := tokenstore.NewSealKey("2026-03", raw)
	if err != nil || want.ID() != "2026-03" || want.IsZero() {
		t.Fatalf("%v, %v", want, err)
	}
	for _, text := range []string{
		base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw),
		base64.RawURLEncoding.EncodeToString(raw), " \t" + want.Reveal() + "\r\n",
	} {
		k, err := tokenstore.ParseSealKey("2026-03", text)
		if err != nil || k.Reveal() != want.Reveal() || k.ID() != want.ID() {
			t.Errorf("ParseSealKey(%q) = %v", text, err)
		}
	}
	raw[0] = 0
	if want.Reveal() != base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb, 0xff}, 16)) {
		t.Error("the bytes were not copied")
	}
	a, err := tokenstore.GenerateSealKey("a")
	b, err2 := tokenstore.GenerateSealKey("a")
	if again, err3 := tokenstore.ParseSealKey("a", a.Reveal()); errors.Join(err, err2, err3) != nil || again.Reveal() != a.Reveal() || a.Reveal() == b.Reveal() {
		t.Error("GenerateSealKey does not make keys", err, err2, err3)
	}
}

// What is refused is not shown: it is a key, mistyped or in the wrong place.
func TestSealKeyErrors(t *testing.T) {
	secret := strings.Repeat(canary, 3)[:32]
	text := base64.StdEncoding.EncodeToString([]byte(secret))
	wrong := base64.StdEncoding.EncodeToString([]byte(secret[:31]))
	parse := func(id, text string) error { _, err := tokenstore.ParseSealKey(id, text); return err }
	raw := func(id, key string) error { _, err := tokenstore.NewSealKey(id, []byte(key)); return err }
	for what, err := range map[string]error{
		"no bytes": raw("a", ""), "31 bytes": raw("a", secret[1:]), "33 bytes": raw("a", secret+"x"), "hex": raw("a", hex.EncodeToString([]byte(secret))),
		"zeros": raw("a", string(make([]byte, 32))), "no id": raw("", secret), "id with a space": raw("a b", secret), "id with a line": raw("a\n", secret),
		"long id": raw(strings.Repeat("i", 33), secret), "id that is the key": raw(secret+"x", secret), "id in UTF-8": raw("é", secret),
		"text of 31 bytes": parse("a", wrong), "no text": parse("a", ""), "text in hex": parse("a", hex.EncodeToString([]byte(secret))),
		"password": parse("a", secret+"!"), "swapped": parse(text, "a"), "bits left over": parse("a", strings.TrimRight(text, "=")[:42]+"9"),
		"generated": func() error { _, err := tokenstore.GenerateSealKey("a b"); return err }(),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "tokenstore: ") || shows(err.Error()) || strings.Contains(err.Error(), text[:8]) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSealKeyNotPrinted(t *testing.T) {
	secret := strings.Repeat(canary, 3)[:32]
	k, err := tokenstore.NewSealKey("2026-03", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	s, err := tokenstore.NewSealed(new(tokenstore.Memory), k)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "k", canary)
	type holder struct {
		k  tokenstore.SealKey
		p  *tokenstore.SealKey
		s  *tokenstore.Sealed
		v  tokenstore.Sealed
		m  map[tokenstore.SealKey]any
		in any
	}
	all := holder{k, &k, s, *s, map[tokenstore.SealKey]any{k: k}, k}
	for _, v := range []any{k, &k, s, *s, []any{k, s}, all, &all, fmt.Errorf("%v %+v", k, s)} {
		for text := range everyPrint(v) {
			if shows(text) || strings.Contains(text, k.Reveal()[:10]) {
				t.Errorf("%T prints the key: %.200s", v, text)
			}
		}
	}
	if _, err := json.Marshal(k); err == nil || !strings.Contains(err.Error(), "SealKey.Reveal") {
		t.Errorf("json.Marshal of a SealKey = %v, want an error that names SealKey.Reveal", err)
	}
	for _, verb := range strings.TrimSuffix(verbs, "p") {
		if got, want := fmt.Sprintf("%+"+string(verb), k), `key("2026-03" [redacted])`; got != want {
			t.Errorf("%%+%c prints %q, want %q", verb, got, want)
		}
	}
}

// everyPrint returns what a program can print of v.
func everyPrint(v any) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, verb := range verbs {
			for _, flags := range []string{"", "+", "#", " ", "0", "-20", ".40", "# "} {
				if !yield(fmt.Sprintf("%"+flags+string(verb), v)) {
					return
				}
			}
		}
		var b bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(h).With("with", v).Info("message", "attr", v, slog.Group("g", "deep", []any{v}))
		}
		errs := []error{json.NewEncoder(&b).Encode(v), xml.NewEncoder(&b).Encode(v), gob.NewEncoder(&b).Encode(v)}
		yield(fmt.Sprint(b.String(), errs))
	}
}
