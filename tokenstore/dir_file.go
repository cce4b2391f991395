//go:build unix || windows

package tokenstore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// readRecord returns what is in the file at path.
func readRecord(path string) ([]byte, error) {
	f, _, err := openOurs(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxRecord+1))
	if err != nil {
		return nil, failed(err)
	}
	if len(b) > MaxRecord {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrCorrupt, path, MaxRecord)
	}
	return b, nil
}

// openOurs opens a file that is there already, if it is a regular one, under
// this name only, and nobody but its owner has a right to it. It follows no
// symbolic link and never blocks.
func openOurs(path string, flag int) (*os.File, fs.FileInfo, error) {
	var f *os.File
	err := retryWhile(isBusy, func() (err error) {
		f, err = openFile(path, flag)
		return err
	})
	if err != nil {
		return nil, nil, explain(path, err)
	}
	info, err := f.Stat()
	if err == nil {
		err = checkFile(path, info)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// explain returns the error for an open or a lock of path that failed with err.
// What systems say of a link that they were told not to follow differs, and
// tells nobody anything.
func explain(path string, err error) error {
	if err == nil {
		return nil
	}
	if info, statErr := os.Lstat(path); statErr == nil && !info.Mode().IsRegular() {
		return checkFile(path, info)
	}
	if errors.Is(err, syscall.ELOOP) {
		return insecure(path, "was a symbolic link just now; put the file itself there")
	}
	return failed(err)
}

func checkFile(path string, info fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return insecure(path, "is a symbolic link; put the file itself there")
	case !info.Mode().IsRegular():
		return insecure(path, "is not a regular file but %s; remove it", info.Mode())
	}
	return checkOwner(path, info)
}

// reserved is written to a temporary file at the start, beyond the size of the
// old record, so that a full disk is found then: next may make a record that is
// longer.
const reserved = 16 << 10

// openTemp opens the temporary file, which will become the record, and makes
// sure that there is room for a record of about size bytes. The lock file names
// it first, so that it is removed if this process is killed.
func (h *holder) openTemp(size int) error {
	name := h.base + "." + rand.Text() + tempSuffix
	if err := h.writeNote(name); err != nil {
		return err
	}
	f, err := os.OpenFile(h.dir.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|openFlags, 0o600)
	if err != nil {
		return failed(err)
	}
	h.temp = f
	if _, err := f.Write(make([]byte, size+reserved)); err != nil {
		h.discard()
		return failed(err)
	}
	return nil
}

// discard removes the temporary file if there is one.
func (h *holder) discard() {
	if h.temp != nil {
		h.temp.Close()
		retryWhile(isBusy, func() error { return os.Remove(h.temp.Name()) })
		h.temp = nil
	}
}

// save is one try to make record durable in the place of old. It uses a
// temporary file once: after an fsync that failed the system may have dropped
// the data, and a second one would say that all is well.
func (h *holder) save(old, record []byte) error {
	if err := h.holds(); err != nil {
		return err
	}
	if h.temp == nil {
		if err := h.openTemp(len(record)); err != nil {
			return err
		}
	}
	defer h.discard()
	if err := h.fill(record); err != nil {
		return failed(err)
	}
	if err := h.unchanged(old, record); err != nil {
		return err
	}
	if err := h.holds(); err != nil {
		return err
	}
	if err := retryWhile(isBusy, func() error { return os.Rename(h.temp.Name(), h.record()) }); err != nil {
		return failed(err)
	}
	h.temp = nil
	return syncDir(string(h.dir))
}

func (h *holder) fill(record []byte) error {
	if _, err := h.temp.WriteAt(record, 0); err != nil {
		return err
	}
	if err := h.temp.Truncate(int64(len(record))); err != nil {
		return err
	}
	if err := h.temp.Sync(); err != nil {
		return err
	}
	return h.temp.Close()
}

// unchanged returns ErrConflict unless the record on disk is old or, when an
// earlier try failed after its rename, record itself.
func (h *holder) unchanged(old, record []byte) error {
	found, err := readRecord(h.record())
	switch {
	case errors.Is(err, ErrNotFound):
	case errors.Is(err, ErrInsecure), errors.Is(err, ErrCorrupt):
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case err != nil:
		return err
	}
	if same(found, old) || same(found, record) {
		return nil
	}
	return fmt.Errorf("%w: somebody changed %s", ErrConflict, h.record())
}

// same reports whether a and b are the same record, or both nil: none.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// mkdirAll is os.MkdirAll(path, 0o700), with directories that outlast a crash.
func mkdirAll(path string) error {
	parent := filepath.Dir(path)
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := mkdirAll(parent); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := syncDir(parent); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil // a parent that may not be read can't be synced
}
