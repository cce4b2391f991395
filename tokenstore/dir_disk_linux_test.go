package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

func init() { helpers["small disk"] = withSmallDisk }

// withSmallDisk mounts a small disk, which no process but a child of this one
// sees, and fills it, makes room, and makes it read-only.
func withSmallDisk(dir tokenstore.Dir, arg string) error {
	if arg == "" {
		child := exec.Command("/proc/self/exe", string(dir), "alone")
		child.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		err := child.Run()
		if errors.Is(err, syscall.EPERM) {
			fmt.Print("can't mount: ", err)
			return nil
		}
		return err
	}
	disk := filepath.Dir(string(dir))
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=512k"); err != nil {
		fmt.Print("can't mount: ", err)
		return nil
	}
	if err := dir.Update(context.Background(), "k", put("old")); err != nil {
		return err
	}
	filler := filepath.Join(disk, "filler")
	if err := fill(filler); err != nil {
		return err
	}
	for _, key := range []string{"k", "never"} {
		if err := wantNoRoom(dir, key, syscall.ENOSPC, false); err != nil {
			return fmt.Errorf("%s on a full disk: %w", key, err)
		}
	}
	if err := errors.Join(os.Truncate(filler, 256<<10), wantNoRoom(dir, "k", syscall.ENOSPC, true)); err != nil {
		return fmt.Errorf("on a disk that is too small for the record: %w", err)
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	if err := dir.Update(context.Background(), "k", put("old")); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		return err
	}
	if err := wantNoRoom(dir, "k", syscall.EROFS, false); err != nil {
		return fmt.Errorf("on a read-only disk: %w", err)
	}
	if err := dir.Delete(context.Background(), "k"); !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("Delete on a read-only disk: %w", err)
	}
	return nil
}

// fill writes a file until there is no more room.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return nil
}

// wantNoRoom checks that an Update fails because of errno, before its function is
// called or after, and leaves nothing but the old record.
func wantNoRoom(dir tokenstore.Dir, key string, errno syscall.Errno, after bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	called := false
	err := dir.Update(ctx, key, func(context.Context, []byte) ([]byte, error) {
		called = true
		return []byte(strings.Repeat("n", 400<<10)), nil
	})
	if !errors.Is(err, errno) || called != after || errors.Is(err, context.DeadlineExceeded) != after {
		return fmt.Errorf("function called: %t, error %v, want %v", called, err, errno)
	}
	record, err := dir.Load(context.Background(), "k")
	if err != nil || string(record) != "old" {
		return fmt.Errorf("record %.20q, %v", record, err)
	}
	if temps, _ := filepath.Glob(string(dir) + "/*.tmp"); len(temps) > 0 {
		return fmt.Errorf("left %q", temps)
	}
	return nil
}

func TestDirRealDisk(t *testing.T) {
	disk := t.TempDir()
	out := start(t, "small disk", tokenstore.Dir(disk+"/tokens"), "").finish(t)
	if strings.HasPrefix(out, "can't mount") {
		t.Skipf("%s (which takes root)", out)
	}
	if out != "" {
		t.Error(out)
	}
	if entries, err := os.ReadDir(disk); err != nil || len(entries) > 0 {
		t.Errorf("the disk was not the helper's own: %v, %v", entries, err)
	}
}
