//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	helpers["closed"] = withClosedDir
	helpers["unlistable"] = withUnlistableDir
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

// withClosedDir loads, updates and lists where it may not.
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
	for _, err := range dir.Keys(context.Background()) {
		fmt.Println(errors.Is(err, fs.ErrPermission), err)
	}
	return nil
}

func TestDirClosed(t *testing.T) {
	tests := []struct {
		mode               os.FileMode
		below              string // the directory, in one that has the mode
		load, update, keys string // whether it is not permitted, and the end of the error
	}{
		{0o500, "", none, closed, ""}, // read-only, as far as its owner goes
		{0o000, "", closed, closed, closed},
		{0o300, "/tokens", none, "false next was called", ""}, // names there can't be made durable
	}
	for _, tt := range tests {
		out := start(t, "closed", newPlainDir(t, tt.mode)+tokenstore.Dir(tt.below), "").finish(t)
		got := append(strings.Split(out, "\n"), "", "")
		for i, want := range []string{tt.load, tt.update, tt.keys} {
			may, advice, _ := strings.Cut(want, " ")
			if !strings.HasPrefix(got[i], may) || !strings.HasSuffix(got[i], advice) || (got[i] == "") != (want == "") {
				t.Errorf("%v: %s; want %s", tt.mode, out, want)
			}
		}
	}
}

const (
	none   = "false tokenstore: no record"
	closed = "true the user of this process must be able to read and write there; chown it, or choose another directory"
)

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
	link := string(dir) + "/link.json"
	os.Symlink(record, link)
	_, err = dir.Load(t.Context(), "link")
	if want := link + " is a symbolic link; put the file itself there"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("Load = %v, want %s", err, want)
	}
	os.Chmod(string(dir), 0o770)
	_, err = dir.Load(t.Context(), "k")
	if want := fmt.Sprintf("%s has mode 0770, so that others can put files there; choose a directory of the program's own, such as %q", dir, string(dir)+"/tokens"); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("Load = %v, want %s", err, want)
	}
	wantInsecure(t, "Update", string(dir), dir.Update(t.Context(), "k", neverNext(t)))
	wantInsecure(t, "Delete", string(dir), dir.Delete(t.Context(), "k"))
	listed := 0
	for _, err := range dir.Keys(t.Context()) {
		wantInsecure(t, "Keys", string(dir), err)
		listed++
	}
	if listed != 1 {
		t.Errorf("Keys has %d elements, want one", listed)
	}
	os.Chmod(string(dir), 0o755) // others may see which records there are
	wantRecord(t, dir, "k", "x")
}

func TestDirNotADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantInsecure(t, "Update", file, tokenstore.Dir(file).Update(t.Context(), "k", neverNext(t)))
	below := tokenstore.Dir(file + "/tokens") // and advice about its owner would be no help
	if err := below.Update(t.Context(), "k", neverNext(t)); !errors.Is(err, syscall.ENOTDIR) || strings.Contains(err.Error(), "chown") {
		t.Errorf("Update = %v, want ENOTDIR", err)
	}
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
	for owner, want := range map[int]string{0: none, 1: "false " + tokenstore.ErrInsecure.Error()} { // root is nobody's other
		dir := newPlainDir(t, 0o755)
		if err := os.Chown(string(dir), owner, plain); err != nil {
			t.Fatal(err)
		}
		if got := start(t, "closed", dir, "").finish(t); !strings.HasPrefix(got, want) {
			t.Errorf("Load from a directory of user %d: %s; want %s", owner, got, want)
		}
	}
}
