package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	system "github.com/zalando/go-keyring"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/keyring"
	"github.com/freshet-go/freshet/tokenstore/storetest"
)

const service = "com.example.freshet-test"

// enough is more time than what ends by itself needs.
const enough = time.Minute

func open(t *testing.T, store tokenstore.Store, keys ...string) (*tokenstore.Sealed, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	return keyring.Open(ctx, keyring.Config{Service: service, Store: store, Keys: keys})
}

func mustOpen(t *testing.T, store tokenstore.Store, keys ...string) *tokenstore.Sealed {
	t.Helper()
	s, err := open(t, store, keys...)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func put(t *testing.T, s tokenstore.Store, key, record string) {
	t.Helper()
	err := s.Update(t.Context(), key, func(context.Context, []byte) ([]byte, error) { return []byte(record), nil })
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func wantRecord(t *testing.T, s tokenstore.Store, key, want string) {
	t.Helper()
	if got, err := s.Load(t.Context(), key); err != nil || string(got) != want {
		t.Errorf("Load = %.40q, %v; want %.40q", got, err, want)
	}
}

// idOf returns the id of the key with which a record is sealed.
func idOf(t *testing.T, below tokenstore.Store, key string) string {
	t.Helper()
	b, err := below.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := bytes.Cut(b, []byte("\n"))
	return strings.TrimPrefix(string(header), "freshet-sealed 1 ")
}

func wantLost(t *testing.T, below tokenstore.Store, id string) {
	t.Helper()
	before := keysOf(t, below)
	_, err := open(t, below)
	lost, ok := errors.AsType[*keyring.LostKeyError](err)
	if !ok || lost.ID != id || lost.Service != service || !strings.Contains(err.Error(), id) {
		t.Errorf("Open = %v, want a LostKeyError about %s", err, id)
	}
	if after := keysOf(t, below); !slices.Equal(before, after) {
		t.Errorf("the store has the records %q, and had %q", after, before)
	}
}

func keysOf(t *testing.T, s tokenstore.Store) (keys []string) {
	t.Helper()
	for key, err := range tokenstore.Keys(t.Context(), s) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func TestStore(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	storetest.Run(t, storetest.Config{
		Open:      func(t *testing.T, place string) tokenstore.Store { return mustOpen(t, tokenstore.Dir(place)) },
		Shared:    true,
		MaxRecord: tokenstore.MaxRecord - 128,
	})
}

// Processes that begin at once make one key.
func TestOpenAtOnce(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	const processes = 8
	dir, who := os.Getenv("DIR"), os.Getenv("WHO")
	if dir != "" {
		put(t, mustOpen(t, tokenstore.Dir(dir)), who, "record of "+who)
		return
	}
	for range 3 {
		dir := t.TempDir()
		errs := make(chan error)
		for i := range processes {
			cmd := rerun(t, nil, "DIR="+dir, "WHO="+string(rune('a'+i)))
			go func() {
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Logf("%s", out)
				}
				errs <- err
			}()
		}
		for range processes {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		s := mustOpen(t, tokenstore.Dir(dir))
		for i := range processes {
			wantRecord(t, s, string(rune('a'+i)), "record of "+string(rune('a'+i)))
		}
	}
}

// No key is made where one is lost.
func TestLostKey(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	below := new(tokenstore.Memory)
	put(t, mustOpen(t, below), "alice", "record of alice")
	id := idOf(t, below, "alice")
	text, err := system.Get(service, id)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func() error
	}{
		{"removed", func() error { return system.Delete(service, id) }},
		{"edited", func() error { return system.Set(service, id, "12345") }},
		{"removed, and no pointer", func() error {
			return errors.Join(system.Delete(service, id), below.Delete(t.Context(), "freshet-keyring.key"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := errors.Join(system.Set(service, id, text), tt.change()); err != nil {
				t.Fatal(err)
			}
			wantLost(t, below, id)
		})
	}
	below.Delete(t.Context(), "alice") // and with it the last record: all may begin anew
	put(t, mustOpen(t, below), "alice", "new record")
	if now := idOf(t, below, "alice"); now == id {
		t.Error("the new key has the id of the lost one")
	}
}

// A keyring that has another key under the id is found out.
func TestOtherKey(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	below := new(tokenstore.Memory)
	mustOpen(t, below)
	other, _ := tokenstore.GenerateSealKey("other")
	if err := system.Set(service, idOf(t, below, "freshet-keyring.key"), other.Reveal()); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, below); !errors.Is(err, tokenstore.ErrCorrupt) {
		t.Errorf("Open = %v, want ErrCorrupt", err)
	}
}

// A store that can't list has the pointer to tell that a key is lost.
func TestLostKeyWithoutKeys(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	memory := new(tokenstore.Memory)
	below := struct{ tokenstore.Store }{memory}
	put(t, mustOpen(t, below), "alice", "record of alice")
	wantRecord(t, mustOpen(t, below), "alice", "record of alice")
	id := idOf(t, memory, "alice")
	if err := system.Delete(service, id); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, below); err == nil || !strings.Contains(err.Error(), id) {
		t.Errorf("Open = %v, want a LostKeyError about %s", err, id)
	}
}

// A store that was in use in plain text, or that has damaged records, gets a key.
func TestOtherRecords(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	below := new(tokenstore.Memory)
	put(t, below, "damaged", "what is this")
	record := plain(t)
	put(t, below, "plain", record)
	s := mustOpen(t, below)
	if _, err := s.Load(t.Context(), "plain"); !errors.Is(err, tokenstore.ErrPlaintext) {
		t.Errorf("Load = %v, want ErrPlaintext", err)
	}
	s.DangerouslyOpenPlaintext = true
	wantRecord(t, s, "plain", record)
	if _, err := s.Load(t.Context(), "damaged"); !errors.Is(err, tokenstore.ErrCorrupt) {
		t.Errorf("Load = %v, want ErrCorrupt", err)
	}
	broken := &tokenstore.Funcs{
		LoadFunc: func(_ context.Context, key string) ([]byte, error) {
			if key == "alice" {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, tokenstore.ErrNotFound
		},
		KeysFunc: func(context.Context) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) { yield("alice", nil) }
		},
		SaveFunc: func(context.Context, string, []byte) error { t.Error("a key is made"); return nil },
	}
	if _, err := open(t, broken); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Open = %v, want the error of the store", err)
	}
	broken.KeysFunc = func(context.Context) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) { yield("", io.ErrNoProgress) }
	}
	if _, err := open(t, broken); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Open = %v, want the error of the store", err)
	}
	newer := new(tokenstore.Memory)
	put(t, newer, "alice", "freshet-sealed 2 what will be")
	if _, err := open(t, newer); !errors.Is(err, tokenstore.ErrVersion) {
		t.Errorf("Open = %v, want ErrVersion", err)
	}
}

// plain returns a record that is not sealed.
func plain(t *testing.T) string {
	t.Helper()
	b, err := (tokenstore.Record{Account: "alice", Session: tokenstore.NewSessionID("")}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Each store has keys of its own, which are no sessions.
func TestTwoStores(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	var ids []string
	for range 2 {
		below := new(tokenstore.Memory)
		s := mustOpen(t, below)
		put(t, s, "alice", "record of alice")
		ids = append(ids, idOf(t, below, "alice"))
		if got := keysOf(t, s); !slices.Equal(got, []string{"alice"}) {
			t.Errorf("Keys = %q, want alice", got)
		}
		if got := keysOf(t, below); !slices.Equal(got, []string{"alice", "freshet-keyring.key"}) {
			t.Errorf("Keys of the store below = %q", got)
		}
	}
	if ids[0] == ids[1] {
		t.Errorf("both stores are sealed with %s", ids[0])
	}
}

// The steps of tokenstore.Sealed.
func TestRotation(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	below := new(tokenstore.Memory)
	put(t, mustOpen(t, below, "2025"), "alice", "record of alice")
	behind := mustOpen(t, below, "2025", "2026")
	put(t, behind, "bob", "record of bob")
	first := mustOpen(t, below, "2026", "2025")
	put(t, first, "carol", "record of carol")
	for key, want := range map[string]string{"alice": "2025-", "bob": "2025-", "carol": "2026-"} {
		if id := idOf(t, below, key); !strings.HasPrefix(id, want) {
			t.Errorf("%s is sealed with %s, want %s…", key, id, want)
		}
		wantRecord(t, behind, key, "record of "+key)
		wantRecord(t, first, key, "record of "+key)
	}
	last := mustOpen(t, below, "2026")
	wantRecord(t, last, "carol", "record of carol")
	if _, err := last.Load(t.Context(), "alice"); !errors.Is(err, tokenstore.ErrCorrupt) {
		t.Errorf("Load = %v, want an UnknownKeyError", err)
	}
	if _, err := open(t, below, "2026", "2027"); !strings.Contains(err.Error(), idOf(t, below, "alice")) {
		t.Errorf("Open = %v, want a LostKeyError about the key of 2025", err)
	}
}

// quick is a store in which somebody seals a record as soon as the key "a" is
// there.
type quick struct {
	*tokenstore.Memory
	t *testing.T
}

func (q quick) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	err := q.Memory.Update(ctx, key, next)
	if key == "freshet-keyring.a" {
		put(q.t, mustOpen(q.t, q.Memory, "a"), "alice", "record of alice")
	}
	return err
}

// A key that was made just now is not lost when the next one is made.
func TestTwoNewKeys(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	wantRecord(t, mustOpen(t, quick{new(tokenstore.Memory), t}, "b", "a", "c"), "alice", "record of alice")
}

func TestConfig(t *testing.T) {
	_, err := keyring.Open(t.Context(), keyring.Config{Service: "a b", Keys: []string{"key", "", strings.Repeat("k", 17), "-k"}})
	for _, want := range []string{"Config.Service is \"a b\"", "Config.Store is nil", "Config.Keys[1]", "Config.Keys[2]", "Config.Keys[3]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "Keys[0]") {
		t.Errorf("Open = %v", err)
	}
}
