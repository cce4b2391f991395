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
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// plain is what the tests with an unprivileged helper run as if they are root's,
// whom no mode keeps out.
const plain = 65534

func init() {
	helpers["umask"] = withUmask
	helpers["closed"] = withClosedDir
	helpers["unlistable"] = withUnlistableDir
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

func TestDirModes(t *testing.T) {
	for _, mask := range []string{"000", "022", "077"} {
		dir := newDir(t)
		during := start(t, "umask", dir, mask).finish(t)
		if want := "-rwx------ -rw------- -rw------- "; during != want {
			t.Errorf("umask %s: modes of directory, lock and temporary file %q, want %q", mask, during, want)
		}
		info, err := os.Stat(string(dir) + "/k.json")
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("umask %s: record %v, %v", mask, info.Mode(), err)
		}
		if info, _ := os.Stat(filepath.Dir(string(dir))); info.Mode().Perm() != 0o700 {
			t.Errorf("umask %s: parent directory %v", mask, info.Mode())
		}
	}
}

// dropRoot makes the helper's process that of a user whom modes keep out.
func dropRoot() error {
	if os.Getuid() != 0 {
		return nil
	}
	return syscall.Setuid(plain)
}

// newPlainDir returns a directory, with the mode, that a helper sees as its own
// after dropRoot.
func newPlainDir(t *testing.T, mode os.FileMode) tokenstore.Dir {
	parent, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	dir := parent + "/tokens"
	t.Cleanup(func() { os.Chmod(dir, 0o700); os.RemoveAll(parent) })
	if err := errors.Join(os.Mkdir(dir, mode), os.Chmod(parent, 0o755)); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(dir, plain, plain); err != nil {
			t.Fatal(err)
		}
	}
	return tokenstore.Dir(dir)
}

// withClosedDir loads and updates where it may not.
func withClosedDir(dir tokenstore.Dir, _ string) error {
	if err := dropRoot(); err != nil {
		return err
	}
	_, err := dir.Load(context.Background(), "k")
	fmt.Println(errors.Is(err, fs.ErrPermission), err)
	err = dir.Update(context.Background(), "k", func(context.Context, []byte) ([]byte, error) {
		return nil, errors.New("next was called")
	})
	fmt.Println(errors.Is(err, fs.ErrPermission), err)
	return nil
}

func TestDirClosed(t *testing.T) {
	tests := []struct {
		mode         os.FileMode
		load, update string
	}{
		{0o500, "false " + tokenstore.ErrNotFound.Error(), "true "}, // read-only, as far as its owner goes
		{0o000, "true ", "true "},
	}
	for _, tt := range tests {
		load, update, _ := strings.Cut(start(t, "closed", newPlainDir(t, tt.mode), "").finish(t), "\n")
		if !strings.HasPrefix(load, tt.load) || !strings.HasPrefix(update, tt.update) {
			t.Errorf("%v: Load %s, Update %s; want %s, %s", tt.mode, load, update, tt.load, tt.update)
		}
	}
}

// withUnlistableDir updates where names can't be made durable at first, since
// the directory can't be opened.
func withUnlistableDir(dir tokenstore.Dir, _ string) error {
	if err := dropRoot(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, record := range []string{"first", "second"} {
		if err := os.Chmod(string(dir), 0o300); err != nil {
			return err
		}
		time.AfterFunc(50*time.Millisecond, func() { os.Chmod(string(dir), 0o700) })
		if err := dir.Update(ctx, "k", put(record)); err != nil {
			return err
		}
		if info, err := os.Stat(string(dir)); err != nil || info.Mode().Perm() != 0o700 {
			return fmt.Errorf("saved before that could be durable: %v, %v", info.Mode(), err)
		}
	}
	return nil
}

// A try that fails after its rename finds its own record the next time.
func TestDirFindsItsOwnRecord(t *testing.T) {
	if out := start(t, "unlistable", newPlainDir(t, 0o700), "").finish(t); out != "" {
		t.Errorf("helper says %s", out)
	}
}

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

func TestDirPlanted(t *testing.T) {
	for what, make := range plant {
		for _, suffix := range []string{".json", ".lock"} {
			t.Run(what+suffix, func(t *testing.T) {
				t.Parallel() // in case one blocks
				dir := newDir(t)
				if err := os.MkdirAll(string(dir), 0o700); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(string(dir), "k"+suffix)
				if err := make(t, path); err != nil {
					t.Fatal(err)
				}
				before, _ := os.Lstat(path)
				wantInsecure(t, "Update", path, dir.Update(t.Context(), "k", neverNext(t)))
				if suffix == ".json" {
					_, err := dir.Load(t.Context(), "k")
					wantInsecure(t, "Load", path, err)
				}
				after, err := os.Lstat(path)
				if err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() || before.Size() != after.Size() {
					t.Errorf("%s was changed: %v, %v", path, after, err)
				}
				if suffix == ".json" {
					if err := dir.Delete(t.Context(), "k"); err != nil {
						t.Errorf("Delete: %v", err)
					}
					wantNone(t, dir, "k")
				}
			})
		}
	}
}

func wantInsecure(t *testing.T, what, path string, err error) {
	t.Helper()
	if !errors.Is(err, tokenstore.ErrInsecure) || !strings.Contains(err.Error(), path) {
		t.Errorf("%s = %v, want ErrInsecure that names %s", what, err, path)
	}
}

func TestDirInsecureSaysWhatToDo(t *testing.T) {
	dir := newDir(t)
	mustPut(t, dir, "k", "x")
	record := string(dir) + "/k.json"
	os.Chmod(record, 0o644)
	_, err := dir.Load(t.Context(), "k")
	if want := fmt.Sprintf("%s has mode 0644, so that others have a right to it; chmod 600 %q", record, record); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("Load = %v, want %s", err, want)
	}
	os.Chmod(record, 0o600)
	os.Chmod(string(dir), 0o770)
	_, err = dir.Load(t.Context(), "k")
	if want := fmt.Sprintf("%s has mode 0770, so that others can put files there; choose a directory of the program's own, such as %q", dir, string(dir)+"/tokens"); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("Load = %v, want %s", err, want)
	}
	wantInsecure(t, "Update", string(dir), dir.Update(t.Context(), "k", neverNext(t)))
	wantInsecure(t, "Delete", string(dir), dir.Delete(t.Context(), "k"))
	os.Chmod(string(dir), 0o755) // others may see which records there are
	wantRecord(t, dir, "k", "x")
}

func TestDirNotADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantInsecure(t, "Update", file, tokenstore.Dir(file).Update(t.Context(), "k", neverNext(t)))
}

func TestDirOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	dir := newDir(t)
	mustPut(t, dir, "k", "x")
	if err := os.Chown(string(dir)+"/k.json", plain, plain); err != nil {
		t.Fatal(err)
	}
	_, err := dir.Load(t.Context(), "k")
	wantInsecure(t, "Load", string(dir)+"/k.json", err)
	if err := os.Chown(string(dir), plain, plain); err != nil {
		t.Fatal(err)
	}
	wantInsecure(t, "Update", string(dir), dir.Update(t.Context(), "k", neverNext(t)))
}

// A record may change under an Update into something that is none.
func TestDirPlantedUnderUpdate(t *testing.T) {
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
