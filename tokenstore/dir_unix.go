//go:build unix

package tokenstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// openFlags keep an open from following a symbolic link and from waiting for
// the other end of a FIFO.
const openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC

func openFile(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|openFlags, 0)
}

// checkOwner says whether only the owner of a file, who must be this process's
// user or root, has a right to it.
func checkOwner(path string, info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		return insecure(path, "has %d hard links; keep it under one name only", stat.Nlink)
	}
	if err := checkUser(path, info); err != nil {
		return err
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return insecure(path, "has mode %04o, so that others have a right to it; chmod 600 %q", perm, path)
	}
	return nil
}

// checkDir says whether only the owner of a directory, who must be this
// process's user or root, can put files into it. Others may list it: the records
// in it are closed to them.
func checkDir(path string, info fs.FileInfo) error {
	if err := checkUser(path, info); err != nil {
		return err
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return insecure(path, "has mode %04o, so that others can put files there; choose a directory of the program's own, such as %q",
			perm, filepath.Join(path, "tokens"))
	}
	return nil
}

func checkUser(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() || stat.Uid == 0 {
		return nil
	}
	return insecure(path, "belongs to user %d, this process to user %d; chown it, or choose another directory", stat.Uid, os.Geteuid())
}

// syncDir makes the names in a directory durable, where the file system can.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return failed(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return failed(err)
	}
	return nil
}

// isBusy is never true: an open file is in nobody's way.
func isBusy(error) bool { return false }
