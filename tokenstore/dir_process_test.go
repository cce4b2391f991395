//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// finish waits for the helper to end, and returns what it printed.
func (p *process) finish(t *testing.T) string {
	t.Helper()
	out, _ := io.ReadAll(p.out)
	if err := p.Wait(); err != nil {
		t.Errorf("helper: %v: %s", err, out)
	}
	return string(out)
}

// A process that is killed at any point leaves a whole record, which is not
// older than what it was told is saved, and at most one temporary file, until
// the next Update.
func TestDirKilledAnywhere(t *testing.T) {
	const rounds = 12
	dir := newDir(t)
	for round := range rounds {
		helper := start(t, "grow", dir, "k")
		time.AfterFunc(time.Duration(10+7*round)*time.Millisecond, func() { helper.Process.Kill() })
		saved := 0
		for {
			line, err := helper.out.ReadString('\n')
			if err != nil {
				break
			}
			saved, _ = strconv.Atoi(strings.TrimSpace(line))
		}
		helper.Wait()
		record, err := dir.Load(t.Context(), "k")
		if err != nil && !errors.Is(err, tokenstore.ErrNotFound) {
			t.Fatal(err)
		}
		if n, err := grown(record); err != nil || n < saved {
			t.Fatalf("round %d: record %d, %v; %d was saved", round, n, err, saved)
		}
		if temps, _ := filepath.Glob(filepath.Join(string(dir), "*.tmp")); len(temps) > 1 {
			t.Errorf("round %d: %d temporary files", round, len(temps))
		}
	}
	if err := dir.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { return nil, tokenstore.ErrUnchanged }); err != nil {
		t.Error(err)
	}
	if temps, _ := filepath.Glob(filepath.Join(string(dir), "*.tmp")); len(temps) > 0 {
		t.Errorf("temporary files are left: %q", temps)
	}
}

// Keys lists a record that is being replaced once, and others too.
func TestDirKeysWhileReplaced(t *testing.T) {
	dir := newDir(t)
	for i := range 20 {
		mustPut(t, dir, fmt.Sprint("k", i), "0 ")
	}
	if err := os.Remove(filepath.Join(string(dir), "k7.json")); err != nil {
		t.Fatal(err)
	}
	start(t, "grow", dir, "k7").line(t)
	for range 50 {
		if got := keysOf(t, dir); len(got) != 20 {
			t.Fatalf("Keys = %q", got)
		}
	}
}
