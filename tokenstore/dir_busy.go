//go:build unix || windows

package tokenstore

import (
	"errors"
	"syscall"
	"time"
)

// busyTime is how long retryWhile goes on, and busyPause how long it waits.
const (
	busyTime  = 2 * time.Second
	busyPause = 10 * time.Millisecond
)

// retryWhile calls do until it fails for another reason than that the file is
// busy, for two seconds at most. Busy files are a matter of Windows, where
// readers and virus scanners that have a file open get into the way of a rename.
func retryWhile(busy func(error) bool, do func() error) error {
	for began := time.Now(); ; time.Sleep(busyPause) {
		err := do()
		if err == nil || !busy(err) || time.Since(began) >= busyTime {
			return err
		}
	}
}

// What Windows says of a file that another process has open. Of one that is about
// to be deleted it says that access is denied.
const (
	errAccessDenied     = syscall.Errno(5)
	errSharingViolation = syscall.Errno(32)
	errLockViolation    = syscall.Errno(33)
)

// isBusyOnWindows is isBusy there. It is here so that tests can ask it anywhere:
// the numbers mean something else on other systems.
func isBusyOnWindows(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) &&
		(errno == errAccessDenied || errno == errSharingViolation || errno == errLockViolation)
}
