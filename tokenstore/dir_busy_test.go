//go:build unix || windows

package tokenstore

import (
	"io/fs"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestRule078_busy_file_is_tried_again_for_a_while(t *testing.T) {
	const ( // of Windows
		accessDenied     = syscall.Errno(5)
		sharingViolation = syscall.Errno(32)
		lockViolation    = syscall.Errno(33)
		diskFull         = syscall.Errno(112)
		pathNotFound     = syscall.Errno(3)
	)
	tests := []struct {
		name  string
		errno syscall.Errno
		fails int // how often the rename says so
		want  bool
		took  time.Duration
	}{
		{"free", sharingViolation, 0, true, 0},
		{"shared", sharingViolation, 5, true, 5 * busyPause},
		{"locked", lockViolation, 1, true, busyPause},
		{"about to be deleted", accessDenied, 2, true, 2 * busyPause},
		{"just in time", sharingViolation, int(busyTime / busyPause), true, busyTime},
		{"shared for ever", sharingViolation, 1 << 30, false, busyTime},
		{"denied for ever", accessDenied, 1 << 30, false, busyTime},
		{"disk full", diskFull, 1, false, 0},
		{"no directory", pathNotFound, 1, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, tries := time.Now(), 0
				failure := error(&os.LinkError{Op: "rename", Old: "a", New: "b", Err: tt.errno})
				err := retryWhile(isBusyOnWindows, func() error {
					if tries++; tries <= tt.fails {
						return failure
					}
					return nil
				})
				if took := time.Since(began); err != nil && err != failure || (err == nil) != tt.want || took != tt.took {
					t.Errorf("= %v after %v, want success %t after %v", err, took, tt.want, tt.took)
				}
			})
		})
	}
	t.Run("no errno", func(t *testing.T) {
		if isBusyOnWindows(fs.ErrClosed) || isBusyOnWindows(nil) {
			t.Error("an error without a number counts as busy")
		}
	})
}
