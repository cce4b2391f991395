//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
)

func init() {
	helpers["umask"] = withUmask
	helpers["plain umask"] = withPlainUmask
}

// withUmask puts a record under the umask arg.
func withUmask(dir tokenstore.Dir, arg string) error {
	mask, err := strconv.ParseInt(arg, 8, 0)
	if err != nil {
		return err
	}
	syscall.Umask(int(mask))
	return dir.Update(context.Background(), "k", func(context.Context, []byte) ([]byte, error) {
		for _, pattern := range []string{"", "/*.lock", "/*.tmp"} {
			names, _ := filepath.Glob(string(dir) + pattern)
			info, err := os.Stat(names[0])
			if err != nil {
				return nil, err
			}
			fmt.Print(info.Mode().Perm(), " ")
		}
		return []byte("x"), nil
	})
}

// withPlainUmask puts a record under the umask arg, which keeps the owner out too.
func withPlainUmask(dir tokenstore.Dir, arg string) error {
	if err := dropRoot(); err != nil {
		return err
	}
	err := withUmask(dir, arg)
	fmt.Print(errors.Is(err, fs.ErrPermission))
	return nil
}

func TestRule071_files_are_the_owners_alone_from_the_start(t *testing.T) {
	for _, mask := range []fs.FileMode{0o000, 0o022, 0o027, 0o077, 0o277, 0o777} {
		t.Run(fmt.Sprintf("umask %03o", mask), func(t *testing.T) {
			arg := strconv.FormatInt(int64(mask), 8)
			if mask&0o700 != 0 {
				dir := newPlainDir(t, 0o700)
				if got := start(t, "plain umask", dir, arg).finish(t); got != "true" {
					t.Errorf("an owner who shuts himself out is told %s", got)
				}
				wantModes(t, string(dir)+"/k.lock", 0o600&^mask)
			}
			if mask&0o700 != 0 && os.Getuid() != 0 {
				return // only root gets any further
			}
			dir := newDir(t)
			during := start(t, "umask", dir, arg).finish(t)
			want := fmt.Sprint(0o700&^mask, " ", 0o600&^mask, " ", 0o600&^mask, " ")
			if during != want {
				t.Errorf("modes of directory, lock and temporary file %q, want %q", during, want)
			}
			wantModes(t, string(dir)+"/k.json", 0o600&^mask)
			wantModes(t, filepath.Dir(string(dir)), 0o700&^mask)
		})
	}
	for _, name := range []string{"k.json", "k.lock", "."} {
		modes := []fs.FileMode{0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o666, 0o777}
		if name == "." {
			modes = []fs.FileMode{0o720, 0o770, 0o702, 0o722, 0o777, 0o777 | fs.ModeSticky}
		}
		for _, mode := range modes {
			t.Run(fmt.Sprint(name, " ", mode), func(t *testing.T) { testLoose(t, name, mode) })
		}
	}
}

// testLoose has a file, or the directory, that others may use.
func testLoose(t *testing.T, name string, mode fs.FileMode) {
	dir := newDir(t)
	mustPut(t, dir, "k", "old")
	path := filepath.Join(string(dir), name)
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	wantInsecure(t, "Update", path, dir.Update(t.Context(), "k", neverNext(t)))
	if name != "k.lock" {
		_, err := dir.Load(t.Context(), "k")
		wantInsecure(t, "Load", path, err)
	}
	wantModes(t, path, mode)
	if name == "." {
		wantInsecure(t, "Delete", path, dir.Delete(t.Context(), "k"))
	}
	if b, err := os.ReadFile(string(dir) + "/k.json"); err != nil || string(b) != "old" {
		t.Errorf("the record is now %q, %v", b, err)
	}
}

func wantModes(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	if info, err := os.Lstat(path); err != nil || info.Mode()&^fs.ModeDir != want {
		t.Errorf("%s: %v, %v; want mode %v", path, info, err, want)
	}
}
