//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/tokenstore"
)

func init() {
	helpers["read"] = readOn
	helpers["guard"] = guardOn
}

// readOn reads the record of grow until arg, a duration, has passed and it saw
// two different ones, which takes longer on a busy machine.
func readOn(dir tokenstore.Dir, arg string) error {
	long, err := time.ParseDuration(arg)
	if err != nil {
		return err
	}
	last, seen := 0, 0
	for began := time.Now(); time.Since(began) < long || seen < 2; {
		if time.Since(began) > long+30*time.Second {
			return fmt.Errorf("saw %d records", seen)
		}
		record, err := dir.Load(context.Background(), "k")
		if errors.Is(err, tokenstore.ErrNotFound) && last == 0 {
			continue
		}
		if err != nil {
			return err
		}
		n, err := grown(record)
		if err != nil || n < last {
			return fmt.Errorf("record %d after %d: %v", n, last, err)
		}
		if n > last {
			last, seen = n, seen+1
		}
	}
	return nil
}

func TestRule070_readers_see_whole_records(t *testing.T) {
	dir := newDir(t)
	for range 3 {
		writer := start(t, "grow", dir, "k")
		go func() { // so that it never waits for its numbers to be read
			for {
				if _, err := writer.out.ReadString('\n'); err != nil {
					return
				}
			}
		}()
	}
	var readers []*process
	for range 3 {
		readers = append(readers, start(t, "read", dir, (testenv.Time(t)/4).String()))
	}
	for _, p := range readers {
		p.finish(t)
	}
}

// guardOn counts the key up, until arg, a duration, has passed, and says so when
// it is not alone. Every other time it removes the lock file instead, when it
// holds the lock and changes nothing.
func guardOn(dir tokenstore.Dir, arg string) error {
	remove, found := strings.CutPrefix(arg, "remove ")
	long, err := time.ParseDuration(remove)
	if err != nil {
		return err
	}
	alone := filepath.Join(filepath.Dir(string(dir)), "alone")
	times := 0
	for end := time.Now().Add(long); time.Now().Before(end); {
		err := dir.Update(context.Background(), "k", func(_ context.Context, old []byte) ([]byte, error) {
			f, err := os.OpenFile(alone, os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return nil, fmt.Errorf("not alone: %w", err)
			}
			f.Close()
			n, err := strconv.Atoi(string(old))
			return fmt.Append(nil, n+1), errors.Join(err, os.Remove(alone))
		})
		if err != nil {
			return err
		}
		times++
		if !found {
			continue
		}
		if err := dir.Update(context.Background(), "k", func(context.Context, []byte) ([]byte, error) {
			return nil, errors.Join(os.Remove(filepath.Join(string(dir), "k.lock")), tokenstore.ErrUnchanged)
		}); err != nil {
			return err
		}
	}
	fmt.Print(times)
	return nil
}

func TestRule073_lock_excludes_and_its_file_stays(t *testing.T) {
	t.Parallel() // it mostly waits
	t.Run("stays", func(t *testing.T) {
		dir := newDir(t)
		mustPut(t, dir, "k", "one")
		before, err := os.Stat(string(dir) + "/k.lock")
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, dir, "k", "two")
		if err := dir.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		mustPut(t, dir, "k", "three")
		if after, err := os.Stat(string(dir) + "/k.lock"); err != nil || !os.SameFile(before, after) {
			t.Errorf("the lock file is another one: %v", err)
		}
		if record, err := os.Stat(string(dir) + "/k.json"); err != nil || os.SameFile(before, record) {
			t.Errorf("the record is the lock file: %v", err)
		}
	})
	for _, remove := range []string{"", "remove "} {
		t.Run(remove+"excludes", func(t *testing.T) {
			dir := newDir(t)
			mustPut(t, dir, "k", "0")
			arg := remove + (testenv.Time(t) / 4).String()
			var running []*process
			for range 4 {
				running = append(running, start(t, "guard", dir, arg))
			}
			sum := 0
			for _, p := range running {
				times, err := strconv.Atoi(p.finish(t))
				if err != nil || times == 0 {
					t.Errorf("a process counted %d times, %v", times, err)
				}
				sum += times
			}
			wantRecord(t, dir, "k", strconv.Itoa(sum))
		})
	}
	for name, test := range lockRemoved {
		t.Run(name, test)
	}
}

// lockRemoved are the cases in which somebody removes a lock file.
var lockRemoved = map[string]func(t *testing.T){"removed under its holder": testLockRemoved}

// Who removes the lock file of a process that hangs lets the others go on. The
// one that hangs has lost, and writes nothing when it wakes up.
func testLockRemoved(t *testing.T) {
	dir := newDir(t)
	mustPut(t, dir, "k", "old")
	holder := start(t, "hold", dir, "k")
	holder.line(t)
	if err := os.Remove(filepath.Join(string(dir), "k.lock")); err != nil {
		t.Fatal(err)
	}
	mustPut(t, dir, "k", "new")
	wantRecord(t, dir, "k", "new")

	err := dir.Update(t.Context(), "k", func(ctx context.Context, old []byte) ([]byte, error) {
		lock := filepath.Join(string(dir), "k.lock")
		err := os.Remove(lock)
		start(t, "hold", dir, "k").line(t) // and another process has the next one
		return []byte("late"), err
	})
	if !errors.Is(err, tokenstore.ErrConflict) {
		t.Errorf("Update without its lock = %v, want ErrConflict", err)
	}
	wantRecord(t, dir, "k", "new")
}

func TestRule074_dead_holder_frees_and_hung_holder_times_out(t *testing.T) {
	t.Run("killed", func(t *testing.T) {
		dir := newDir(t)
		mustPut(t, dir, "k", "old")
		holder := start(t, "hold", dir, "k")
		holder.line(t)
		wantFiles(t, dir, "*.tmp", "k.json", "k.lock")
		holder.Process.Kill()
		holder.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := dir.Update(ctx, "k", put("new")); err != nil {
			t.Errorf("Update after the holder was killed: %v", err)
		}
		wantRecord(t, dir, "k", "new")
		wantFiles(t, dir, "k.json", "k.lock") // what the dead one left is gone
	})
	t.Run("hung", testHungHolder)
	t.Run("no guess", func(t *testing.T) {
		// What the lock file says of a process, and how old it is, means nothing.
		dir := newDir(t)
		mustPut(t, dir, "k", "old")
		lock := filepath.Join(string(dir), "k.lock")
		living := start(t, "hold", dir, "other")
		living.line(t)
		for _, note := range []string{
			fmt.Sprintf(` {"key":"k","pid":%d}`, living.Process.Pid), ` {"key":"k","pid":1}`, ` {"pid":-1}`, ` {"pid":"x`, "", strings.Repeat("x", 1<<16),
			` {"key":"k","pid":1,"temp":"other.lock"}`, ` {"key":"k","pid":1,"temp":"k.json"}`, ` {"key":"k","temp":"k./../other.lock/../x.tmp"}`,
		} {
			for _, age := range []time.Time{time.Now().Add(100 * time.Hour), time.Unix(0, 0)} {
				if err := errors.Join(os.WriteFile(lock, []byte(note), 0o600), os.Chtimes(lock, age, age)); err != nil {
					t.Fatal(err)
				}
				mustPut(t, dir, "k", "new")
			}
		}
		if got, want := fmt.Sprint(files(t, dir)), "[k.json k.lock *.tmp other.lock]"; got != want {
			t.Errorf("files %s, want %s", got, want)
		}
		if err := living.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("the other process: %v", err)
		}
		// A lock is held whatever its file says.
		for note, holder := range map[string]string{` {"key":"other","pid":999999999}`: "process 999999999", ` {"pid`: "a process unknown"} {
			if err := os.WriteFile(filepath.Join(string(dir), "other.lock"), []byte(note), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := dir.Update(ctx, "other", neverNext(t)); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "held by "+holder+": ") {
				t.Errorf("Update of a key that is held = %v, want DeadlineExceeded that names %s", err, holder)
			}
		}
	})
}

// testHungHolder has a process stop that holds the lock.
func testHungHolder(t *testing.T) {
	dir := newDir(t)
	mustPut(t, dir, "k", "old")
	helper := start(t, "hold", dir, "k")
	helper.line(t)
	if err := helper.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	holder := fmt.Sprintf("process %d", helper.Process.Pid)
	wantHeld := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), holder) ||
			!strings.Contains(err.Error(), filepath.Join(string(dir), "k.lock")) {
			t.Errorf("%s = %v, want DeadlineExceeded that names the file and %s", what, err, holder)
		}
	}
	for _, wait := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond} {
		within := func(f func(context.Context) error) error {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			return f(ctx)
		}
		wantHeld("Update", within(func(ctx context.Context) error { return dir.Update(ctx, "k", neverNext(t)) }))
		wantHeld("Delete", within(func(ctx context.Context) error { return dir.Delete(ctx, "k") }))
	}
	wantRecord(t, dir, "k", "old")
	holding(t, dir, "other", func() {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := dir.Update(ctx, "other", neverNext(t)); err == nil || !strings.Contains(err.Error(), "this process") {
			t.Errorf("Update of a key held here = %v", err)
		}
	})
}

// A lock file that goes between the moment at which it is locked and the one at
// which it is opened is made anew: nobody is told that a file is missing.
func TestDirLockFileGoesAgainAndAgain(t *testing.T) {
	t.Parallel() // it mostly waits
	dir := newDir(t)
	mustPut(t, dir, "k", "old")
	stop, stopped := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-stopped }()
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				os.Remove(filepath.Join(string(dir), "k.lock"))
			}
		}
	}()
	for range 30 {
		err := dir.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { return nil, tokenstore.ErrUnchanged })
		if err != nil {
			t.Fatalf("Update = %v", err)
		}
	}
	wantRecord(t, dir, "k", "old")
}
