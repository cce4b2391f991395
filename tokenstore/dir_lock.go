//go:build unix || windows

package tokenstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/freshet-go/freshet/tokenstore/internal/keylock"
)

// dirLocks has those who wait for a lock file within this process queue up here
// first: a channel is fairer than polling, and costs no file descriptors.
// Exclusion does not rest on it, so it doesn't matter that one file may have
// several names.
var dirLocks keylock.Locks

// A holder holds the lock of a key.
type holder struct {
	dir  Dir
	base string
	key  string

	lock   *flock.Flock
	locked fs.FileInfo // of the file that is locked
	file   *os.File    // the same file, to read and write its note
	queue  func()      // lets the next of this process have a try

	temp *os.File // what the record is written to next; nil if there is none
}

func (h *holder) record() string   { return h.dir.path(h.base + recordSuffix) }
func (h *holder) lockPath() string { return h.dir.path(h.base + lockSuffix) }

// lock waits for the lock of key, clears away what a killed holder left, and
// signs the lock file.
func (d Dir) lock(ctx context.Context, key string) (*holder, error) {
	h := &holder{dir: d, base: baseName(key), key: key}
	unlock, err := dirLocks.Lock(ctx, h.lockPath())
	if err != nil {
		return nil, fmt.Errorf("tokenstore: waited for %s, held by this process: %w", h.lockPath(), err)
	}
	h.queue = unlock
	if err := h.acquire(ctx); err != nil {
		unlock()
		return nil, err
	}
	if err := h.takeOver(); err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

// The pauses between two looks at a lock file that another process holds.
const (
	firstLook = 2 * time.Millisecond
	lastLook  = 50 * time.Millisecond
)

// acquire polls, because a wait in the operating system can't be ended by a
// context. The pauses are random so that waiters don't march in step.
func (h *holder) acquire(ctx context.Context) error {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		if ok, err := h.try(ctx); ok || err != nil {
			return err
		}
		if err := sleep(ctx, pause/2+rand.N(pause)); err != nil {
			return fmt.Errorf("tokenstore: waited for %s, held by %v: %w", h.lockPath(), readNote(h.lockPath()), err)
		}
	}
}

// try takes the lock if it is free, and only if the path still names the file
// that was locked: somebody may have removed it in between, and the next one
// locked another.
func (h *holder) try(ctx context.Context) (ok bool, err error) {
	lock := flock.New(h.lockPath(), flock.SetFlag(os.O_CREATE|os.O_RDWR|openFlags), flock.SetPermissions(0o600))
	ok, err = tryLock(ctx, lock)
	if !ok {
		return false, explain(h.lockPath(), err)
	}
	h.file, h.locked, err = openOurs(h.lockPath(), os.O_RDWR)
	if err == nil {
		var info fs.FileInfo
		if info, err = lock.Stat(); err == nil && os.SameFile(info, h.locked) {
			h.lock = lock
			return true, nil
		}
		h.file.Close()
	}
	unlock(lock)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return false, err
}

// answerTime is how much longer than its context a try may take before it
// counts as hanging.
const answerTime = 50 * time.Millisecond

// tryLock is lock.TryLock, except that it ends with ctx. There are file systems
// on which even a try blocks when their server is gone; what then still comes
// of it is given back.
func tryLock(ctx context.Context, lock *flock.Flock) (bool, error) {
	var ok bool
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		ok, err = lock.TryLock()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		select {
		case <-done:
		case <-time.After(answerTime):
			go func() { <-done; unlock(lock) }()
			return false, fmt.Errorf("can't lock %s, the file system does not answer: %w", lock.Path(), ctx.Err())
		}
	}
	switch {
	case errors.Is(err, syscall.EINTR):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("can't lock %s: %w", lock.Path(), err)
	}
	return ok, nil
}

// unlock gives a lock back, if it is held. When the system fails to take it, the
// file stays open, and so this process would keep others out until the garbage
// collector closes it: hence a few tries.
func unlock(lock *flock.Flock) {
	for range 3 {
		if lock.Unlock() == nil {
			return
		}
	}
}

// holds returns ErrConflict if somebody removed or replaced the lock file, so
// that others may hold another one by now.
func (h *holder) holds() error {
	info, err := os.Lstat(h.lockPath())
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !os.SameFile(info, h.locked):
		return fmt.Errorf("%w: somebody removed the lock file %s", ErrConflict, h.lockPath())
	case err != nil:
		return failed(err)
	}
	return nil
}

// release removes a temporary file that was not used and gives the lock back.
func (h *holder) release() {
	h.discard()
	unlock(h.lock)
	h.file.Close() // after unlock: where locks belong to processes, any Close frees them
	h.queue()
}

// A note is what a holder writes into the lock file. The lock does not depend on
// it: it tells people who holds the lock, the next holder what to clear away if
// this one is killed, and Keys the key where the file name can't.
type note struct {
	Key  string `json:"key"`
	PID  int    `json:"pid"`
	Temp string `json:"temp,omitempty"`
}

func (n note) String() string {
	if n.PID == 0 {
		return "a process unknown"
	}
	return fmt.Sprintf("process %d", n.PID)
}

// noteOffset is where the note begins. Windows locks the first byte, and nobody
// else can read that then.
const noteOffset = 1

const maxNote = 4096

func noteOf(f io.ReaderAt) (n note) {
	json.NewDecoder(io.NewSectionReader(f, noteOffset, maxNote)).Decode(&n)
	return n
}

// readNote returns the note in the lock file at path; the zero note if there is
// none to be read.
func readNote(path string) note {
	f, _, err := openOurs(path, os.O_RDONLY)
	if err != nil {
		return note{}
	}
	defer f.Close()
	return noteOf(f)
}

func (h *holder) writeNote(temp string) error {
	b, err := json.Marshal(note{h.key, os.Getpid(), temp})
	if err == nil {
		_, err = h.file.WriteAt(b, noteOffset)
	}
	if err == nil {
		err = h.file.Truncate(noteOffset + int64(len(b)))
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

// takeOver removes the temporary file that the last holder left if it was
// killed, and signs the lock file. The first signature is made durable: Keys may
// have the key from nowhere else.
func (h *holder) takeOver() error {
	last := noteOf(h.file)
	if strings.HasPrefix(last.Temp, h.base+".") && strings.HasSuffix(last.Temp, tempSuffix) && filepath.Base(last.Temp) == last.Temp {
		os.Remove(h.dir.path(last.Temp))
	}
	if err := h.writeNote(""); err != nil {
		return err
	}
	if last.Key == h.key {
		return nil
	}
	if err := h.file.Sync(); err != nil {
		return failed(err)
	}
	return nil
}
