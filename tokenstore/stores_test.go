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

// neverNext returns a function for an Update that must fail before it.
func neverNext(t *testing.T) func(context.Context, []byte) ([]byte, error) {
	return func(context.Context, []byte) ([]byte, error) {
		t.Error("next was called")
		return nil, tokenstore.ErrUnchanged
	}
}

// holding runs f while another goroutine is inside an Update of the key.
func holding(t *testing.T, s tokenstore.Store, key string, f func()) {
	t.Helper()
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- s.Update(context.Background(), key, func(context.Context, []byte) ([]byte, error) {
			close(entered)
			<-leave
			return []byte("held"), nil
		})
	}()
	<-entered
	f()
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("Update that held the key: %v", err)
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

type bare struct{ tokenstore.Store }

func TestStoreListsItsKeys(t *testing.T) {
	each(t, func(t *testing.T, s tokenstore.Store) {
		for _, want := range [][]string{nil, {"a"}, {"a", "b"}} {
			if len(want) > 0 {
				mustPut(t, s, want[len(want)-1], "x")
			}
			if got := keysOf(t, s); !slices.Equal(got, want) {
				t.Errorf("Keys = %q, want %q", got, want)
			}
		}
	})
}

// Memory and Dir read nothing for a context that is over, and say why. What a
// Funcs does is its closures' business.
func TestStoreReadsWithinItsContext(t *testing.T) {
	for name, s := range map[string]tokenstore.Store{"Memory": new(tokenstore.Memory), "Dir": newDir(t)} {
		mustPut(t, s, "a", "x")
		mustPut(t, s, "b", "x")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if b, err := s.Load(ctx, "a"); b != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Load = %q, %v; want Canceled", name, b, err)
		}
		n := 0
		for key, err := range tokenstore.Keys(ctx, s) {
			if n++; key != "" || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: Keys has %q, %v; want Canceled", name, key, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: Keys has %d elements, want one", name, n)
		}
	}
}
