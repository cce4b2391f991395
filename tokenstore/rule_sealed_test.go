package tokenstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
)

func TestRule086_sealed_record_opens_only_where_it_was_sealed(t *testing.T) {
	each(t, func(t *testing.T, below tokenstore.Store) {
		s := sealed(t, below, "a", "b")
		mustPut(t, s, "alice", "record of alice")
		mustPut(t, s, "bob", "record of bob")
		alice, bob := string(stored(t, below, "alice")), string(stored(t, below, "bob"))
		t.Run("swapped", func(t *testing.T) {
			mustPut(t, below, "alice", bob)
			mustPut(t, below, "bob", alice)
			wantUnopened(t, below, s, "alice", tokenstore.ErrCorrupt)
			wantUnopened(t, below, s, "bob", tokenstore.ErrCorrupt)
		})
		t.Run("renamed", func(t *testing.T) {
			for _, key := range []string{"Alice", "alic", "alice2", "e"} {
				mustPut(t, below, key, alice)
				wantUnopened(t, below, s, key, tokenstore.ErrCorrupt)
			}
		})
		t.Run("version", func(t *testing.T) {
			mustPut(t, below, "alice", strings.Replace(alice, " 1 ", " 2 ", 1))
			wantNewer(t, below, s, "alice")
		})
		t.Run("header", func(t *testing.T) {
			for _, header := range []string{
				"freshet-sealed 0 a\n", "freshet-sealed 1 b\n", "freshet-sealed 1 c\n", "freshet-sealed  1 a\n", "freshet-sealed 1 a\r\n",
				"freshet-sealed 1 a \n", "freshet-sealed 1  a\n", "freshet-sealed 01 a\n", "freshet-sealed 1 a", "freshet-sealed 1 \n", "freshet-sealed\n", "",
			} {
				mustPut(t, below, "alice", header+strings.TrimPrefix(alice, "freshet-sealed 1 a\n"))
				wantUnopened(t, below, s, "alice", tokenstore.ErrCorrupt)
			}
		})
	})
	t.Run("every byte", func(t *testing.T) {
		below := new(tokenstore.Memory)
		s := sealed(t, below, "a", "b")
		mustPut(t, s, "alice", "record of alice")
		alice := stored(t, below, "alice")
		damaged := [][]byte{append(slices.Clone(alice), 0), append([]byte{0}, alice...), append(slices.Clone(alice), alice...)}
		for i := range alice {
			damaged = append(damaged, alice[:i])
			for _, flip := range []byte{1, 0x80, 0xff} {
				b := slices.Clone(alice)
				b[i] ^= flip
				damaged = append(damaged, b)
			}
		}
		for _, b := range damaged {
			mustPut(t, below, "alice", string(b))
			wantUnopened(t, below, s, "alice", tokenstore.ErrCorrupt)
		}
		mustPut(t, below, "alice", string(alice))
		wantRecord(t, s, "alice", "record of alice") // the whole one opens still
	})
	t.Run("format", func(t *testing.T) {
		below := new(tokenstore.Memory)
		s := sealed(t, below, "a")
		mustPut(t, s, "alice", "record of alice")
		header, rest, _ := bytes.Cut(stored(t, below, "alice"), []byte("\n"))
		b, err := gcm(t, strings.Repeat("a", 32)).Open(nil, rest[:12], rest[12:], []byte(string(header)+"\nalice"))
		if err != nil || string(b) != "record of alice" {
			t.Errorf("opened by hand: %q, %v", b, err)
		}
		mustPut(t, below, "bob", string(sealByHand(t, "a", strings.Repeat("a", 32), "nonce-------", "bob", "record of bob")))
		wantRecord(t, s, "bob", "record of bob")
	})
	t.Run("golden", testSealedGolden)
}

// What was sealed once is opened for ever: when the format changes, the file
// stays and gets a sibling.
func testSealedGolden(t *testing.T) {
	key, err := os.ReadFile("testdata/sealed_v1.key")
	if err != nil {
		t.Fatal(err)
	}
	k, err := tokenstore.ParseSealKey("golden-1", string(key))
	if err != nil {
		t.Fatal(err)
	}
	record, err := os.ReadFile("testdata/record_v1.json")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		b := sealByHand(t, "golden-1", "0123456789abcdefghijklmnopqrstuv", "golden nonce", "alice@example.com", string(record))
		if err := os.WriteFile("testdata/sealed_v1", b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile("testdata/sealed_v1")
	if err != nil {
		t.Fatal(err)
	}
	below := new(tokenstore.Memory)
	s, err := tokenstore.NewSealed(below, k)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, below, "alice@example.com", string(golden))
	wantRecord(t, s, "alice@example.com", string(record))
}

func TestRule087_nonces_differ_and_keys_rotate(t *testing.T) {
	t.Run("nonces", func(t *testing.T) {
		const times = 1 << 14
		below := new(tokenstore.Memory)
		s := sealed(t, below, "a")
		seen := make(map[string]bool, times)
		var values [12]map[byte]bool // seen in each byte of the nonces
		for i := range values {
			values[i] = make(map[byte]bool)
		}
		for range times {
			mustPut(t, s, "k", "the same")
			_, rest, _ := bytes.Cut(stored(t, below, "k"), []byte("\n"))
			seen[string(rest[:12])] = true
			for i := range values {
				values[i][rest[i]] = true
			}
		}
		if len(seen) != times {
			t.Errorf("%d different nonces in %d records", len(seen), times)
		}
		for i := range values {
			if len(values[i]) != 256 {
				t.Errorf("byte %d of the nonces has %d values: it is not random", i, len(values[i]))
			}
		}
	})
	each(t, func(t *testing.T, below tokenstore.Store) {
		sealedWith := func(id string) {
			t.Helper()
			if b := stored(t, below, "k"); !bytes.HasPrefix(b, []byte("freshet-sealed 1 "+id+"\n")) {
				t.Errorf("stored %.40q, want it sealed with %s", b, id)
			}
		}
		last := ""
		for _, ids := range [][]string{{"a"}, {"a", "b"}, {"b", "a"}, {"b"}, {"b", "a"}, {"a", "b"}, {"a"}} {
			s := sealed(t, below, ids...)
			if last != "" {
				wantRecord(t, s, "k", last)
			}
			last = strings.Join(ids, " before ")
			mustPut(t, s, "k", last)
			wantRecord(t, s, "k", last)
			sealedWith(ids[0])
		}
		wantRecord(t, sealed(t, below, "b", "a"), "k", last)
		sealedWith("a") // reading does not seal

		s := sealed(t, below, "b", "c")
		_, err := s.Load(t.Context(), "k")
		for what, err := range map[string]error{"Load": err, "Update": s.Update(t.Context(), "k", refuse)} {
			var unknown *tokenstore.UnknownKeyError
			if !errors.As(err, &unknown) || unknown.ID != "a" || !strings.Contains(err.Error(), `"a"`) {
				t.Errorf("%s = %v, want an UnknownKeyError for a", what, err)
			}
		}
		wantUnopened(t, below, s, "k", tokenstore.ErrCorrupt)

		// Two keys under one id are a mistake that costs nothing.
		mustPut(t, sealed(t, below, "a"), "k", "x")
		other, err := tokenstore.NewSealKey("a", bytes.Repeat([]byte("z"), 32))
		if err != nil {
			t.Fatal(err)
		}
		if s, err = tokenstore.NewSealed(below, other); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(t.Context(), "k"); !errors.Is(err, tokenstore.ErrCorrupt) {
			t.Errorf("Load with another key of that id = %v", err)
		}
		wantRecord(t, sealed(t, below, "a"), "k", "x")
	})
}

// FuzzOpen checks that only what was sealed under a name opens there, and that
// what does not is ErrCorrupt and stays.
func FuzzOpen(f *testing.F) {
	plain, err := full().Encode()
	if err != nil {
		f.Fatal(err)
	}
	genuine := make(map[string]string) // name and bytes to record; the same in every process
	for i, name := range []string{"k", "alice"} {
		for _, id := range []string{"a", "b"} {
			for _, record := range []string{"", "record", string(plain)} {
				b := sealByHand(f, id, strings.Repeat(id, 32), fmt.Sprintf("nonce%s%06d", id, i*1000+len(record)%1000), name, record)
				genuine[name+" "+string(b)] = record
				f.Add(b, name)
				f.Add(b, "bob")
				f.Add(append(b, 0), name)
			}
		}
		f.Add(sealByHand(f, "c", strings.Repeat("c", 32), "nonce-------", name, "record"), name)
	}
	for _, b := range []string{"", string(plain), "freshet-sealed ", "freshet-sealed 1 a", "freshet-sealed 1 a\n", "freshet-sealed 1 \xff\n", "freshet-sealed 9 a\nx"} {
		f.Add([]byte(b), "k")
	}
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		if tokenstore.CheckKey(name) != nil || len(b) > tokenstore.MaxRecord {
			t.Skip()
		}
		below := new(tokenstore.Memory)
		mustPut(t, below, name, string(b))
		s := sealed(t, below, "a", "b")
		want, isGenuine := genuine[name+" "+string(b)]
		if isGenuine {
			wantRecord(t, s, name, want)
			return
		}
		_, err := s.Load(t.Context(), name)
		var unknown *tokenstore.UnknownKeyError
		if errors.As(err, &unknown) && !strings.Contains(string(b), " "+unknown.ID+"\n") {
			t.Errorf("the error names a key %q that the record does not", unknown.ID)
		}
		if errors.Is(err, tokenstore.ErrVersion) {
			wantNewer(t, below, s, name)
			return
		}
		s.DangerouslyOpenPlaintext = true
		got, err := s.Load(t.Context(), name)
		if _, bad := tokenstore.DecodeRecord(b); (err == nil) != (bad == nil) || err == nil && !bytes.Equal(got, b) {
			t.Errorf("Load with plaintext = %.60q, %v", got, err)
		}
		s.DangerouslyOpenPlaintext = false
		wantUnopened(t, below, s, name, tokenstore.ErrCorrupt)
	})
}
