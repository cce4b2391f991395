package tokenstore_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
)

// refresh does what a refresh does to a record.
func refresh(_ context.Context, old []byte) ([]byte, error) {
	if old == nil {
		return nil, errors.New("no record")
	}
	r, err := tokenstore.DecodeRecord(old)
	if err != nil {
		return nil, err
	}
	r.Generation++
	return r.Encode()
}

func TestRule076_damaged_record_is_an_error_and_stays(t *testing.T) {
	whole, err := full().Encode()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("truncated", func(t *testing.T) {
		for n := range whole {
			wantDamaged(t, whole[:n], tokenstore.ErrCorrupt)
		}
	})
	t.Run("flipped", func(t *testing.T) {
		told := 0
		for i := range whole {
			for bit := range 8 {
				b := slices.Clone(whole)
				b[i] ^= 1 << bit
				if testFlipped(t, b) {
					told++
				}
			}
		}
		t.Logf("%d of %d flipped bits are told from the bytes alone", told, 8*len(whole))
	})
	t.Run("appended", func(t *testing.T) {
		for _, tail := range []string{"\x00", "x", "{}", string(whole)} {
			wantDamaged(t, append(slices.Clone(whole), tail...), tokenstore.ErrCorrupt)
		}
	})
	t.Run("newer", func(t *testing.T) {
		wantDamaged(t, bytes.Replace(whole, []byte(`"v":1`), []byte(`"v":2`), 1), tokenstore.ErrVersion)
	})
	t.Run("Dir", func(t *testing.T) {
		dir := newDir(t)
		mustPut(t, dir, "k", string(whole))
		for n := 0; n < len(whole); n += 7 {
			damage(t, dir, whole[:n])
			wantRecord(t, dir, "k", string(whole[:n])) // what is in it is for DecodeRecord to say
			wantRefused(t, dir, dir, whole[:n])
		}
		damage(t, dir, whole)
		if err := dir.Update(t.Context(), "k", refresh); err != nil {
			t.Errorf("a refresh of the whole record: %v", err)
		}
	})
	t.Run("Sealed", func(t *testing.T) {
		// Every change is told there, be it within a token.
		dir := newDir(t)
		s := sealed(t, dir, "a")
		mustPut(t, s, "k", string(whole))
		whole := stored(t, dir, "k")
		for i := 0; i < len(whole); i += 7 {
			flipped := slices.Clone(whole)
			flipped[i] ^= 1 << (i % 8)
			for _, b := range [][]byte{flipped, whole[:i]} {
				damage(t, dir, b)
				wantRefused(t, s, dir, b)
			}
		}
		damage(t, dir, whole)
		if err := s.Update(t.Context(), "k", refresh); err != nil {
			t.Errorf("a refresh of the whole record: %v", err)
		}
	})
	t.Run("too large", testDirTooLarge)
}

// wantDamaged checks that b is no record.
func wantDamaged(t *testing.T, b []byte, want error) {
	t.Helper()
	r, err := tokenstore.DecodeRecord(b)
	if !errors.Is(err, tokenstore.ErrCorrupt) || !errors.Is(err, want) || r.Exists() {
		t.Errorf("DecodeRecord(%.60q, %d bytes) = %v, %v; want %v", b, len(b), r, err, want)
	}
}

// testFlipped reports whether DecodeRecord refuses b, in which a bit is not as
// it was. It can't, where that makes another letter of a text; but what it takes
// is a record like any other.
func testFlipped(t *testing.T, b []byte) (told bool) {
	r, err := tokenstore.DecodeRecord(b)
	if err != nil {
		wantDamaged(t, b, tokenstore.ErrCorrupt)
		return true
	}
	again, err := r.Encode()
	if err != nil || !r.Exists() {
		t.Errorf("DecodeRecord takes %q, which can't be written: %v", b, err)
	}
	if _, err := tokenstore.DecodeRecord(again); err != nil {
		t.Errorf("%q can't be read again: %v", again, err)
	}
	return false
}

// damage puts b into the file of the record.
func damage(t *testing.T, dir tokenstore.Dir, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(string(dir), "k.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantRefused checks that s does not take damaged for a record or for none, and
// that a refresh leaves it where it is.
func wantRefused(t *testing.T, s tokenstore.Store, dir tokenstore.Dir, damaged []byte) {
	t.Helper()
	b, err := s.Load(t.Context(), "k")
	if err == nil {
		_, err = tokenstore.DecodeRecord(b)
	}
	if !errors.Is(err, tokenstore.ErrCorrupt) || errors.Is(err, tokenstore.ErrNotFound) {
		t.Errorf("Load of %d damaged bytes: %v", len(damaged), err)
	}
	if err := s.Update(t.Context(), "k", refresh); !errors.Is(err, tokenstore.ErrCorrupt) {
		t.Errorf("refresh of %d damaged bytes: %v", len(damaged), err)
	}
	if after, err := os.ReadFile(filepath.Join(string(dir), "k.json")); err != nil || !bytes.Equal(after, damaged) {
		t.Errorf("%d damaged bytes are %d now: %v", len(damaged), len(after), err)
	}
}

func testDirTooLarge(t *testing.T) {
	dir := newDir(t)
	mustPut(t, dir, "k", "x")
	file := filepath.Join(string(dir), "k.json")
	if err := os.Truncate(file, tokenstore.MaxRecord+1); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Load(t.Context(), "k"); !errors.Is(err, tokenstore.ErrCorrupt) {
		t.Errorf("Load = %v, want ErrCorrupt", err)
	}
	if err := dir.Update(t.Context(), "k", neverNext(t)); !errors.Is(err, tokenstore.ErrCorrupt) {
		t.Errorf("Update = %v, want ErrCorrupt", err)
	}
	if info, err := os.Stat(file); err != nil || info.Size() != tokenstore.MaxRecord+1 {
		t.Errorf("the file is gone or changed: %v", err)
	}
	if err := dir.Delete(t.Context(), "k"); err != nil {
		t.Errorf("Delete = %v", err)
	}
	wantNone(t, dir, "k")
}
