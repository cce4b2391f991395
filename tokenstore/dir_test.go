package tokenstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
)

// files returns the names in the directory, those of temporary files as
// "*.tmp".
func files(t *testing.T, dir tokenstore.Dir) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(string(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, ".tmp") {
			name = "*.tmp"
		}
		names = append(names, name)
	}
	return names
}

func wantFiles(t *testing.T, dir tokenstore.Dir, want ...string) {
	t.Helper()
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestDirFiles(t *testing.T) {
	dir := newDir(t)
	wantNone(t, dir, "k")
	if err := dir.Delete(t.Context(), "k"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if _, err := os.Stat(string(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load or Delete made the directory: %v", err)
	}
	mustPut(t, dir, "k", "one")
	wantFiles(t, dir, "k.json", "k.lock")
	if b, err := os.ReadFile(string(dir) + "/k.json"); string(b) != "one" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if err := dir.Delete(t.Context(), "never"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if err := dir.Delete(t.Context(), "k"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	wantFiles(t, dir, "k.lock")
}

func TestDirTempFile(t *testing.T) {
	dir := newDir(t)
	mustPut(t, dir, "k", "old")
	ends := map[string]func() ([]byte, error){
		"unchanged": func() ([]byte, error) { return nil, tokenstore.ErrUnchanged },
		"error":     func() ([]byte, error) { return nil, errors.New("no") },
		"too large": func() ([]byte, error) { return make([]byte, tokenstore.MaxRecord+1), nil },
		"panic":     func() ([]byte, error) { panic("next") },
		"saved":     func() ([]byte, error) { return []byte("old"), nil },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			defer wantFiles(t, dir, "k.json", "k.lock")
			defer func() { recover() }()
			dir.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) {
				if got := files(t, dir); !slices.Contains(got, "*.tmp") {
					t.Errorf("files %q: no temporary file is open when next runs", got)
				}
				return end()
			})
		})
	}
}

// A lock file holds a note, and nothing of what it held before. The byte in front
// is what Windows locks.
func TestDirLockFile(t *testing.T) {
	dir := newDir(t)
	mustPut(t, dir, "k", "x")
	lock := filepath.Join(string(dir), "k.lock")
	if err := os.WriteFile(lock, []byte(strings.Repeat("x", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	mustPut(t, dir, "k", "x")
	b, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	var note struct {
		Key string
		PID int
	}
	if err := json.Unmarshal(b[1:], &note); err != nil || note.Key != "k" || note.PID != os.Getpid() {
		t.Errorf("the lock file holds %.200q: %v", b, err)
	}
}

func TestDirEmptyName(t *testing.T) {
	var dir tokenstore.Dir
	_, loadErr := dir.Load(t.Context(), "k")
	errs := []error{loadErr, dir.Update(t.Context(), "k", neverNext(t)), dir.Delete(t.Context(), "k")}
	for _, err := range tokenstore.Keys(t.Context(), dir) {
		errs = append(errs, err)
	}
	for _, err := range errs {
		if err == nil || errors.Is(err, tokenstore.ErrNotFound) || !strings.Contains(err.Error(), `Dir("")`) {
			t.Errorf(`with Dir(""): %v`, err)
		}
	}
	if len(errs) != 4 {
		t.Error(`Keys of Dir("") is silent`)
	}
}

func needsRemoveOfOpenFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not remove a file that is open")
	}
}

func TestDirChangedByHand(t *testing.T) {
	tests := []struct {
		name   string
		change func(record string) error
		want   string // what is there afterwards; "" for nothing
		err    error
	}{
		{"not at all", func(string) error { return nil }, "new", nil},
		{"edited", func(f string) error { return os.WriteFile(f, []byte("hand"), 0o600) }, "hand", tokenstore.ErrConflict},
		{"written again", func(f string) error { return os.WriteFile(f, []byte("old"), 0o600) }, "new", nil},
		{"emptied", func(f string) error { return os.WriteFile(f, nil, 0o600) }, "", tokenstore.ErrConflict},
		{"removed", os.Remove, "", tokenstore.ErrConflict},
		{"grown", func(f string) error { return os.Truncate(f, tokenstore.MaxRecord+1) }, "", tokenstore.ErrConflict},
		{"lock removed", func(f string) error { return os.Remove(strings.TrimSuffix(f, "json") + "lock") }, "old", tokenstore.ErrConflict},
		{"lock replaced", func(f string) error {
			lock := strings.TrimSuffix(f, "json") + "lock"
			return errors.Join(os.Remove(lock), os.WriteFile(lock, nil, 0o600))
		}, "old", tokenstore.ErrConflict},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasPrefix(tt.name, "lock") {
				needsRemoveOfOpenFile(t)
			}
			dir := newDir(t)
			mustPut(t, dir, "k", "old")
			err := dir.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) {
				if err := tt.change(filepath.Join(string(dir), "k.json")); err != nil {
					t.Fatal(err)
				}
				return []byte("new"), nil
			})
			if !errors.Is(err, tt.err) {
				t.Errorf("Update = %v, want %v", err, tt.err)
			}
			if got, _ := dir.Load(t.Context(), "k"); string(got) != tt.want {
				t.Errorf("Load = %q, want %q", got, tt.want)
			}
			if slices.Contains(files(t, dir), "*.tmp") {
				t.Error("the temporary file is left")
			}
		})
	}
}

// A record that appears under an Update which found none is not written over.
func TestDirAppearsByHand(t *testing.T) {
	for _, record := range []string{"hand", ""} {
		dir := newDir(t)
		err := dir.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) {
			return []byte("new"), os.WriteFile(filepath.Join(string(dir), "k.json"), []byte(record), 0o600)
		})
		if !errors.Is(err, tokenstore.ErrConflict) {
			t.Errorf("Update = %v, want ErrConflict", err)
		}
		wantRecord(t, dir, "k", record)
	}
}

// A save that fails is tried again with a new temporary file.
func TestDirRetriesSave(t *testing.T) {
	needsRemoveOfOpenFile(t)
	dir := newDir(t)
	err := dir.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) {
		temps, _ := filepath.Glob(filepath.Join(string(dir), "k.*.tmp"))
		return []byte("new"), os.Remove(temps[0]) // so that the rename fails
	})
	if err != nil {
		t.Errorf("Update = %v, want nil", err)
	}
	wantRecord(t, dir, "k", "new")
	wantFiles(t, dir, "k.json", "k.lock")
}

func TestDirKeysForeignFiles(t *testing.T) {
	dir := newDir(t)
	long := strings.Repeat("K", 255)
	mustPut(t, dir, "mine", "x")
	mustPut(t, dir, long, "x")
	for _, name := range []string{"README", "README.json", "notes.txt", "mine.json~", "UPPER.lock", ".json", "gone.lock", "byhand.json"} {
		if err := os.WriteFile(filepath.Join(string(dir), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := keysOf(t, dir), []string{long, "byhand", "mine"}; !slices.Equal(got, want) {
		t.Errorf("Keys = %q, want %q", got, want)
	}
	locks, _ := filepath.Glob(filepath.Join(string(dir), "#*.lock"))
	if err := os.Remove(locks[0]); err != nil {
		t.Fatal(err)
	}
	var got []string
	var last error
	for key, err := range dir.Keys(t.Context()) {
		got, last = append(got, key), err
	}
	slices.Sort(got)
	if last == nil || !slices.Equal(got, []string{"", "byhand", "mine"}) {
		t.Errorf("Keys = %q, %v; want an error for the key that is not known", got, last)
	}
}

// A lock file tells the key of a record with a hashed name, if it is that key's.
func TestDirKeysLockFileOfAnother(t *testing.T) {
	dir := newDir(t)
	long := strings.Repeat("K", 255)
	mustPut(t, dir, long, "x")
	mustPut(t, dir, "mine", "x")
	mine, err := os.ReadFile(filepath.Join(string(dir), "mine.lock"))
	if err != nil {
		t.Fatal(err)
	}
	locks, _ := filepath.Glob(filepath.Join(string(dir), "#*.lock"))
	for _, note := range []string{string(mine), strings.ReplaceAll(string(mine), "mine", long[1:]), ""} {
		if err := os.WriteFile(locks[0], []byte(note), 0o600); err != nil {
			t.Fatal(err)
		}
		got := make(map[string]error)
		for key, err := range dir.Keys(t.Context()) {
			got[key] = err
		}
		if err, told := got["mine"]; len(got) != 2 || !told || err != nil || got[""] == nil {
			t.Errorf("lock file %.40q: Keys = %v, want mine and an error", note, got)
		}
	}
	wantRecord(t, dir, long, "x") // it is there for who knows its key
	if err := dir.Delete(t.Context(), long); err != nil {
		t.Error(err)
	}
	base := filepath.Join(string(dir), fmt.Sprintf("#%x", sha256.Sum256([]byte(long+"K"))))
	none := fmt.Appendf(nil, ` {"key":"%sK","pid":1}`, long) // too long to be a key
	if err := errors.Join(os.WriteFile(base+".lock", none, 0o600), os.WriteFile(base+".json", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for key, err := range dir.Keys(t.Context()) {
		if key != "mine" && err == nil {
			t.Errorf("Keys has %q, which is no key", key)
		}
	}
}

// A record is deleted that was put there without its lock file.
func TestDirDeleteWithoutLockFile(t *testing.T) {
	dir := newDir(t)
	mustPut(t, dir, "k", "x")
	if err := os.Remove(filepath.Join(string(dir), "k.lock")); err != nil {
		t.Fatal(err)
	}
	if err := dir.Delete(t.Context(), "k"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	wantNone(t, dir, "k")
}
