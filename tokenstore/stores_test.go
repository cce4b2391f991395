package tokenstore_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
)

// newFuncs returns a Funcs over a map. It takes and gives the bytes as they
// are: copies are the business of Funcs.
func newFuncs() *tokenstore.Funcs {
	var mu sync.Mutex
	records := make(map[string][]byte)
	return &tokenstore.Funcs{
		LoadFunc: func(_ context.Context, key string) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			return records[key], nil
		},
		SaveFunc: func(_ context.Context, key string, record []byte) error {
			mu.Lock()
			defer mu.Unlock()
			records[key] = record
			return nil
		},
		DeleteFunc: func(_ context.Context, key string) error {
			mu.Lock()
			defer mu.Unlock()
			delete(records, key)
			return nil
		},
		KeysFunc: func(context.Context) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				mu.Lock()
				keys := slices.Collect(maps.Keys(records))
				mu.Unlock()
				for _, key := range keys {
					if !yield(key, nil) {
						return
					}
				}
			}
		},
	}
}

// each runs a test with every store of the package.
func each(t *testing.T, test func(t *testing.T, s tokenstore.Store)) {
	t.Run("Memory", func(t *testing.T) { test(t, new(tokenstore.Memory)) })
	t.Run("Funcs", func(t *testing.T) { test(t, newFuncs()) })
	t.Run("Dir", func(t *testing.T) { test(t, newDir(t)) })
}

func newDir(t *testing.T) tokenstore.Dir { return tokenstore.Dir(t.TempDir() + "/a/tokens") }

// put returns a function for Update that makes record the record.
func put(record string) func(context.Context, []byte) ([]byte, error) {
	return func(context.Context, []byte) ([]byte, error) { return []byte(record), nil }
}

func mustPut(t *testing.T, s tokenstore.Store, key, record string) {
	t.Helper()
	if err := s.Update(t.Context(), key, put(record)); err != nil {
		t.Fatalf("Update(%q): %v", key, err)
	}
}

func wantRecord(t *testing.T, s tokenstore.Store, key, want string) {
	t.Helper()
	if got, err := s.Load(t.Context(), key); err != nil || string(got) != want {
		t.Errorf("Load(%q) = %.40q, %v; want %.40q", key, got, err, want)
	}
}

func wantNone(t *testing.T, s tokenstore.Store, key string) {
	t.Helper()
	if got, err := s.Load(t.Context(), key); got != nil || !errors.Is(err, tokenstore.ErrNotFound) {
		t.Errorf("Load(%q) = %.40q, %v; want ErrNotFound", key, got, err)
	}
}

func TestStoreLife(t *testing.T) {
	each(t, func(t *testing.T, s tokenstore.Store) {
		wantNone(t, s, "k")
		err := s.Update(t.Context(), "k", func(_ context.Context, old []byte) ([]byte, error) {
			if old != nil {
				t.Errorf("old = %q, want nil where there is no record", old)
			}
			return []byte("one"), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantRecord(t, s, "k", "one")
		err = s.Update(t.Context(), "k", func(_ context.Context, old []byte) ([]byte, error) { return append(old, " two"...), nil })
		if err != nil {
			t.Fatal(err)
		}
		wantRecord(t, s, "k", "one two")
		wantNone(t, s, "K")
		for range 2 {
			if err := s.Delete(t.Context(), "k"); err != nil {
				t.Errorf("Delete: %v", err)
			}
			wantNone(t, s, "k")
		}
	})
}

func TestStoreKeepsWhatNextRefuses(t *testing.T) {
	mine := errors.New("mine")
	tests := []struct {
		name   string
		record []byte
		err    error
		want   error
	}{
		{"error", []byte("x"), mine, mine},
		{"unchanged", []byte("x"), tokenstore.ErrUnchanged, nil},
		{"too large", make([]byte, tokenstore.MaxRecord+1), nil, tokenstore.ErrTooLarge},
	}
	each(t, func(t *testing.T, s tokenstore.Store) {
		mustPut(t, s, "k", "old")
		for _, tt := range tests {
			err := s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { return tt.record, tt.err })
			if tt.err == mine && err != mine || !errors.Is(err, tt.want) {
				t.Errorf("%s: Update = %v, want %v", tt.name, err, tt.want)
			}
			wantRecord(t, s, "k", "old")
		}
	})
}

func TestStoreSizes(t *testing.T) {
	each(t, func(t *testing.T, s tokenstore.Store) {
		for _, size := range []int{0, 1, 64 << 10, tokenstore.MaxRecord, 3} {
			record := strings.Repeat("t", size)
			mustPut(t, s, "k", record)
			wantRecord(t, s, "k", record)
		}
		mustPut(t, s, "empty", "")
		err := s.Update(t.Context(), "empty", func(_ context.Context, old []byte) ([]byte, error) {
			if old == nil {
				t.Error("old = nil for an empty record; nil says that there is none")
			}
			return nil, tokenstore.ErrUnchanged
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestStoreLargeToken(t *testing.T) {
	token := strings.Repeat("0123456789abcdef", 64<<10/16)
	each(t, func(t *testing.T, s tokenstore.Store) {
		r := tokenstore.Record{Session: tokenstore.NewSessionID(""), RefreshToken: tokenstore.NewSecret(token)}
		r.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret(token)})
		b, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, s, "k", string(b))
		if b, err = s.Load(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		got, err := tokenstore.DecodeRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if access, _ := got.Token(""); access.Token.Reveal() != token || got.RefreshToken.Reveal() != token {
			t.Error("a token of 64 KiB came back changed")
		}
	})
}

func TestStoreCopies(t *testing.T) {
	each(t, func(t *testing.T, s tokenstore.Store) {
		given := []byte("one")
		err := s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { return given, nil })
		if err != nil {
			t.Fatal(err)
		}
		given[0] = 'X'
		wantRecord(t, s, "k", "one")
		loaded, _ := s.Load(t.Context(), "k")
		loaded[0] = 'X'
		wantRecord(t, s, "k", "one")
		err = s.Update(t.Context(), "k", func(_ context.Context, old []byte) ([]byte, error) {
			old[0] = 'X'
			return nil, tokenstore.ErrUnchanged
		})
		if err != nil {
			t.Error(err)
		}
		wantRecord(t, s, "k", "one")
	})
}

func TestStoreBadKeys(t *testing.T) {
	each(t, func(t *testing.T, s tokenstore.Store) {
		for _, key := range []string{"", "a b", "a\x00", "é", "a\n", strings.Repeat("k", 256)} {
			_, err := s.Load(t.Context(), key)
			if !errors.Is(err, tokenstore.ErrKey) {
				t.Errorf("Load(%q) = %v, want ErrKey", key, err)
			}
			if err := s.Update(t.Context(), key, neverNext(t)); !errors.Is(err, tokenstore.ErrKey) {
				t.Errorf("Update(%q) = %v, want ErrKey", key, err)
			}
			if err := s.Delete(t.Context(), key); !errors.Is(err, tokenstore.ErrKey) {
				t.Errorf("Delete(%q) = %v, want ErrKey", key, err)
			}
		}
	})
}

// neverNext returns a function for an Update that must fail before it.
func neverNext(t *testing.T) func(context.Context, []byte) ([]byte, error) {
	return func(context.Context, []byte) ([]byte, error) {
		t.Error("next was called")
		return nil, tokenstore.ErrUnchanged
	}
}

// keysOf returns the keys of s, sorted.
func keysOf(t *testing.T, s tokenstore.Store) []string {
	t.Helper()
	var keys []string
	for key, err := range tokenstore.Keys(t.Context(), s) {
		if err != nil {
			t.Errorf("Keys: %v", err)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func TestStoreKeys(t *testing.T) {
	want := []string{"A", "a", "b/../c", "con", strings.Repeat("L", 255), strings.Repeat("l", 255)}
	slices.Sort(want)
	each(t, func(t *testing.T, s tokenstore.Store) {
		if got := keysOf(t, s); len(got) != 0 {
			t.Errorf("Keys of an empty store = %q", got)
		}
		for _, key := range append(want, "gone") {
			mustPut(t, s, key, key)
		}
		if err := s.Delete(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		if got := keysOf(t, s); !slices.Equal(got, want) {
			t.Errorf("Keys = %q, want %q", got, want)
		}
		for range tokenstore.Keys(t.Context(), s) {
			break
		}
	})
}

type bare struct{ tokenstore.Store }

func TestKeysUnsupported(t *testing.T) {
	for _, s := range []tokenstore.Store{bare{}, new(tokenstore.Funcs)} {
		for _, err := range tokenstore.Keys(t.Context(), s) {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Keys(%T) = %v, want ErrUnsupported", s, err)
			}
		}
	}
}
