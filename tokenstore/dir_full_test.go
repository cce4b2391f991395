//go:build darwin || linux

package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

func init() { helpers["small"] = withSmallFiles }

// withSmallFiles updates where files can't grow beyond arg bytes, which is as
// good as a full disk.
func withSmallFiles(dir tokenstore.Dir, arg string) error {
	signal.Ignore(syscall.SIGXFSZ) // which would come with the error
	size, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	limit := syscall.Rlimit{Cur: uint64(size), Max: uint64(size)}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	called := false
	err = dir.Update(ctx, "k", func(context.Context, []byte) ([]byte, error) {
		called = true
		return []byte(strings.Repeat("n", size+1)), nil
	})
	fmt.Print(called, " ", errors.Is(err, syscall.EFBIG), " ", errors.Is(err, context.DeadlineExceeded))
	return nil
}

func TestDirDiskFull(t *testing.T) {
	tests := []struct{ size, want string }{
		{"1000", "false true false"}, // found before next is called
		{"30000", "true true true"},  // found after it, and tried until the context was over
	}
	for _, tt := range tests {
		dir := newDir(t)
		mustPut(t, dir, "k", "old")
		if got := start(t, "small", dir, tt.size).finish(t); got != tt.want {
			t.Errorf("files of %s bytes: called, EFBIG, DeadlineExceeded = %s, want %s", tt.size, got, tt.want)
		}
		wantRecord(t, dir, "k", "old")
		wantFiles(t, dir, "k.json", "k.lock")
	}
}
