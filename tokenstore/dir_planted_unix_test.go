//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tokenstore_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/tokenstore"
)

// plant makes things at path that are not a record or a lock file.
var plant = map[string]func(t *testing.T, path string) error{
	"symlink": func(t *testing.T, path string) error {
		target := filepath.Join(t.TempDir(), "target")
		return errors.Join(os.WriteFile(target, []byte("theirs"), 0o600), os.Symlink(target, path))
	},
	"dangling symlink": func(t *testing.T, path string) error {
		return os.Symlink(filepath.Join(t.TempDir(), "target"), path)
	},
	"hard link": func(t *testing.T, path string) error {
		target := path + ".other"
		return errors.Join(os.WriteFile(target, []byte("theirs"), 0o600), os.Link(target, path))
	},
	"FIFO":      func(_ *testing.T, path string) error { return syscall.Mkfifo(path, 0o600) },
	"directory": func(_ *testing.T, path string) error { return os.Mkdir(path, 0o700) },
	"readable":  func(_ *testing.T, path string) error { return open(path, 0o640) },
	"writable":  func(_ *testing.T, path string) error { return open(path, 0o602) },
}

func open(path string, perm os.FileMode) error {
	return errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.Chmod(path, perm))
}

func TestRule072_planted_files_are_not_followed(t *testing.T) {
	for what, plant := range plant {
		for _, suffix := range []string{".json", ".lock"} {
			t.Run(what+suffix, func(t *testing.T) {
				t.Parallel() // in case one blocks
				testPlanted(t, plant, suffix)
			})
		}
		t.Run(what+".tmp", func(t *testing.T) {
			t.Parallel()
			testPlantedTemporary(t, plant)
		})
	}
	t.Run("under an Update", testPlantedUnderUpdate)
	t.Run("record swapped", func(t *testing.T) { testSwapped(t, "k.json") })
	t.Run("lock swapped", func(t *testing.T) { testSwapped(t, "k.lock") })
	t.Run("directory", testLinkedDirectory)
}

func testPlanted(t *testing.T, plant func(*testing.T, string) error, suffix string) {
	dir := newDir(t)
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(string(dir), "k"+suffix)
	if err := plant(t, path); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Lstat(path)
	wantInsecure(t, "Update", path, dir.Update(t.Context(), "k", neverNext(t)))
	if suffix == ".json" {
		_, err := dir.Load(t.Context(), "k")
		wantInsecure(t, "Load", path, err)
	} else {
		wantInsecure(t, "Delete", path, dir.Delete(t.Context(), "k"))
	}
	after, err := os.Lstat(path)
	if err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() || before.Size() != after.Size() || before.ModTime() != after.ModTime() {
		t.Errorf("%s was changed: %v, %v", path, after, err)
	}
	if suffix == ".json" {
		if err := dir.Delete(t.Context(), "k"); err != nil {
			t.Errorf("Delete: %v", err)
		}
		wantNone(t, dir, "k")
	}
}

// testPlantedTemporary has a lock file that names what was planted as the
// temporary file of a holder which was killed.
func testPlantedTemporary(t *testing.T, plant func(*testing.T, string) error) {
	dir := newDir(t)
	mustPut(t, dir, "k", "old")
	path := filepath.Join(string(dir), "k.planted.tmp")
	if err := plant(t, path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(string(dir)+"/k.lock", []byte(` {"key":"k","pid":1,"temp":"k.planted.tmp"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	mustPut(t, dir, "k", "new")
	wantRecord(t, dir, "k", "new")
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", path, err)
	}
}

// A record may change under an Update into something that is none.
func testPlantedUnderUpdate(t *testing.T) {
	dir := newDir(t)
	mustPut(t, dir, "k", "old")
	record := string(dir) + "/k.json"
	err := dir.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) {
		return []byte("new"), errors.Join(os.Remove(record), syscall.Mkfifo(record, 0o600))
	})
	if !errors.Is(err, tokenstore.ErrConflict) || !errors.Is(err, tokenstore.ErrInsecure) {
		t.Errorf("Update = %v, want ErrConflict and ErrInsecure", err)
	}
}

// testSwapped has somebody put a file and a link to another one outside into each
// other's place, as often as possible.
func testSwapped(t *testing.T, name string) {
	dir := newDir(t)
	mustPut(t, dir, "k", "ours")
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		swaps := 0
		for ; ; swaps++ {
			select {
			case <-stop:
				stopped <- swaps
				return
			default:
			}
			path := filepath.Join(string(dir), name)
			if swaps%2 == 0 {
				os.Symlink(outside, path+".new")
			} else {
				os.WriteFile(path+".new", []byte("ours"), 0o600)
			}
			os.Rename(path+".new", path)
		}
	}()
	saved, loaded := 0, 0
	for end := time.Now().Add(testenv.Time(t) / 8); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := dir.Update(ctx, "k", func(_ context.Context, old []byte) ([]byte, error) {
			if old != nil && string(old) != "ours" {
				t.Errorf("old is %q", old)
			}
			return []byte("ours"), nil
		})
		cancel()
		if err == nil {
			saved++
		} else if !errors.Is(err, tokenstore.ErrInsecure) && !errors.Is(err, tokenstore.ErrConflict) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Update: %v", err)
		}
		record, err := dir.Load(t.Context(), "k")
		if err == nil {
			loaded++
		}
		if err == nil && string(record) != "ours" || err != nil && !errors.Is(err, tokenstore.ErrInsecure) {
			t.Errorf("Load = %q, %v", record, err)
		}
	}
	close(stop)
	t.Logf("%d swaps, %d records saved, %d loaded", <-stopped, saved, loaded)
	if err := os.Remove(filepath.Join(string(dir), name)); err != nil {
		t.Fatal(err)
	}
	mustPut(t, dir, "k", "ours") // it works when all is quiet
	if b, err := os.ReadFile(outside); err != nil || string(b) != "theirs" {
		t.Errorf("the file outside is now %q, %v", b, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(outside)); err != nil || len(entries) != 1 {
		t.Errorf("there are other files outside: %v, %v", entries, err)
	}
}

// The directory may be a symbolic link. What counts is the directory that it
// leads to.
func testLinkedDirectory(t *testing.T) {
	parent := t.TempDir()
	link := tokenstore.Dir(parent + "/link")
	if err := os.Symlink("target", string(link)); err != nil {
		t.Fatal(err)
	}
	if err := link.Update(t.Context(), "k", neverNext(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Update in a link that leads nowhere = %v", err)
	}
	if _, err := os.Lstat(parent + "/target"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made there: %v", err)
	}
	if err := os.Mkdir(parent+"/target", 0o700); err != nil {
		t.Fatal(err)
	}
	mustPut(t, link, "k", "x")
	wantRecord(t, tokenstore.Dir(parent+"/target"), "k", "x")
	if err := os.Chmod(parent+"/target", 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := link.Load(t.Context(), "k")
	wantInsecure(t, "Load", string(link), err)
	wantInsecure(t, "Update", string(link), link.Update(t.Context(), "k", neverNext(t)))
}
