//go:build unix || windows

package tokenstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// Dir is a [Store] that keeps a file for each key in a directory, for all the
// processes of a machine. It is safe for concurrent use, by any number of them.
//
// The directory is made when first written to, with mode 0700, and files have
// mode 0600 from the start. Dir refuses, with an error that is [ErrInsecure], a
// file that others may read or write, and a directory that they may write to; a
// file system without owners and modes is therefore no place for it. It follows
// no symbolic link in the directory. The directory itself may be one: what it
// leads to counts. On Windows it relies on the access rights that files inherit,
// and those are the owner's alone only below the user's profile: choose a
// directory there. A relative Dir moves with the working directory of the
// process.
//
// Beside the record K.json lies K.lock, whose lock the operating system frees
// when its holder dies; Dir never removes it, and nobody else should. An Update
// that waits for a process which hangs, or for a file system that does not answer
// when asked for a lock, ends with its context and names both. A file system that
// can't lock is an error.
//
// Replacing, editing or removing a record by hand is allowed at any time:
// Update notices and writes nothing ([ErrConflict]). What a file says is not
// Dir's business, except that more than [MaxRecord] bytes are [ErrCorrupt].
type Dir string

// ErrInsecure says that a file or directory is not a safe place for a record:
// others than its owner may read or write it, or it is a symbolic link, a hard
// link or no file at all. The error says which, and what to do. Nothing was
// read or written.
var ErrInsecure = errors.New("tokenstore: not a safe place")

func insecure(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrInsecure, path, fmt.Sprintf(format, args...))
}

// Load implements [Store]. It does not wait for an Update: a record is replaced
// at one stroke.
func (d Dir) Load(ctx context.Context, key string) ([]byte, error) {
	if err := d.usable(ctx, key); err != nil {
		return nil, err
	}
	err := d.check()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return readRecord(d.path(baseName(key) + recordSuffix))
}

// Update implements [Store]. The exclusion does not end before next returns, so
// the context that next gets never ends; it has the values of ctx. What can
// fail on a full or a read-only disk is done before next is called, as far as
// possible.
//
// When Update returns nil the record is on the disk. A crash at any point
// leaves the old record or the new one.
func (d Dir) Update(ctx context.Context, key string, next func(ctx context.Context, old []byte) ([]byte, error)) error {
	if err := d.usable(ctx, key); err != nil {
		return err
	}
	if err := d.prepare(); err != nil {
		return err
	}
	h, err := d.lock(ctx, key)
	if err != nil {
		return err
	}
	defer h.release() // whatever next does: return, panic or Goexit
	old, err := readRecord(h.record())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := h.openTemp(len(old)); err != nil {
		return err
	}
	record, err := next(context.WithoutCancel(ctx), bytes.Clone(old))
	if write, err := result(record, err); !write {
		return err
	}
	return persist(ctx, func() error { return h.save(old, record) })
}

// Delete implements [Store]. It waits for an Update of the key, and leaves the
// lock file.
func (d Dir) Delete(ctx context.Context, key string) error {
	if err := d.usable(ctx, key); err != nil {
		return err
	}
	err := d.check()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if base := baseName(key); !d.has(base+recordSuffix) && !d.has(base+lockSuffix) {
		return nil // and no lock file left behind for a key that never was
	}
	h, err := d.lock(ctx, key)
	if err != nil {
		return err
	}
	defer h.release()
	if err := retryWhile(isBusy, func() error { return os.Remove(h.record()) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(err)
	}
	return syncDir(string(d))
}

// Keys returns the keys of the records in the directory; see [Keys]. Files with
// other names are passed over. A record whose key is too long for a file name is
// known by its lock file; without that, the sequence ends with an error.
func (d Dir) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := d.list(ctx, func(key string) bool { return yield(key, nil) }); err != nil {
			yield("", err)
		}
	}
}

func (d Dir) list(ctx context.Context, yield func(key string) bool) error {
	if d == "" {
		return errNoDir
	}
	err := d.check()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.Open(string(d))
	if err != nil {
		return failed(err)
	}
	defer f.Close()
	var nameless error // told at the end, so that it hides no other key
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := f.ReadDir(256)
		for _, entry := range entries {
			key, err := d.keyOf(entry.Name())
			if err != nil {
				nameless = err
			} else if key != "" && !yield(key) {
				return nil
			}
		}
		if err == io.EOF {
			return nameless
		}
		if err != nil {
			return failed(err)
		}
	}
}

// keyOf returns the key of which the file name tells that it has a record, or
// "". A lock file tells it, if the record is there; the record does only if the
// lock file isn't. Lock files stay where they are, while a record that is
// replaced may move in the listing, and be listed twice or not at all.
func (d Dir) keyOf(name string) (key string, err error) {
	base, isLock := strings.CutSuffix(name, lockSuffix)
	if isLock && !d.has(base+recordSuffix) {
		return "", nil
	}
	if !isLock {
		var isRecord bool
		if base, isRecord = strings.CutSuffix(name, recordSuffix); !isRecord || d.has(base+lockSuffix) {
			return "", nil
		}
	}
	if !strings.HasPrefix(base, hashed) {
		return spelledKey(base), nil
	}
	key = readNote(d.path(base + lockSuffix)).Key
	if CheckKey(key) != nil || baseName(key) != base {
		return "", fmt.Errorf("tokenstore: no key is known for %s: its lock file does not tell", d.path(base+recordSuffix))
	}
	return key, nil
}

var errNoDir = errors.New(`tokenstore: Dir("") names no directory`)

// usable says whether there is a key, a directory's name and time left.
func (d Dir) usable(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if d == "" {
		return errNoDir
	}
	return ctx.Err()
}

// check says whether the directory is there, and fit to keep secrets in.
func (d Dir) check() error {
	info, err := os.Stat(string(d))
	if err != nil {
		return failed(err)
	}
	if !info.IsDir() {
		return insecure(string(d), "is not a directory")
	}
	return checkDir(string(d), info)
}

// failed is the error for a file or directory, and says what to do where it is
// forbidden.
func failed(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("tokenstore: %w: the user of this process must be able to read and write there; chown it, or choose another directory", err)
	}
	return fmt.Errorf("tokenstore: %w", err)
}

// prepare makes the directory if there is none.
func (d Dir) prepare() error {
	err := d.check()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := mkdirAll(filepath.Clean(string(d))); err != nil {
		return failed(err)
	}
	return d.check()
}

func (d Dir) path(name string) string { return filepath.Join(string(d), name) }

func (d Dir) has(name string) bool {
	_, err := os.Lstat(d.path(name))
	return !errors.Is(err, fs.ErrNotExist)
}
