package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	system "github.com/zalando/go-keyring"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/keyring"
)

func TestRule080_records_are_larger_than_a_keyring_takes(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	if dir := os.Getenv("DIR"); dir != "" {
		dieInUpdate(t, tokenstore.Dir(dir))
		return
	}
	t.Run("sizes", func(t *testing.T) {
		below := tokenstore.Dir(t.TempDir() + "/tokens")
		for _, size := range []int{0, 1, 2559, 2560, 2561, 3 << 10, 64 << 10, tokenstore.MaxRecord - 128} {
			key, record := strconv.Itoa(size), strings.Repeat("r", size)
			put(t, mustOpen(t, below), key, record)
			wantRecord(t, mustOpen(t, below), key, record)
			text, err := system.Get(service, idOf(t, below, key))
			if err != nil || len(text) != 44 {
				t.Errorf("with a record of %d bytes the keyring has %d, %v; want the 44 of a key", size, len(text), err)
			}
		}
		err := mustOpen(t, below).Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) {
			return make([]byte, tokenstore.MaxRecord), nil
		})
		if !errors.Is(err, tokenstore.ErrTooLarge) {
			t.Errorf("Update = %v, want ErrTooLarge", err)
		}
	})
	// What a process leaves that is killed between the keyring and the store, or
	// before a record is written, is what was there before.
	for update, what := range []string{"first key", "record", "second key"} {
		t.Run("crash "+what, func(t *testing.T) {
			below := tokenstore.Dir(t.TempDir() + "/tokens")
			old := strings.Repeat("o", 3<<10)
			if update > 0 {
				put(t, mustOpen(t, below), "alice", old)
			}
			out, err := rerunTop(t, "DIR="+string(below), "UPDATE="+strconv.Itoa(update))
			if err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("the other process: %v\n%s", err, out)
			}
			s := mustOpen(t, below, "key", "second")
			if update > 0 {
				wantRecord(t, s, "alice", old)
			}
			put(t, s, "alice", "new")
			wantRecord(t, mustOpen(t, below, "second", "key"), "alice", "new")
		})
	}
}

// rerunTop runs the test that t is a part of again, in this session.
func rerunTop(t *testing.T, env ...string) ([]byte, error) {
	t.Helper()
	top, _, _ := strings.Cut(t.Name(), "/")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := rerun(t, nil, env...)
	cmd.Args = []string{exe, "-test.run=^" + top + "$", "-test.count=1"}
	cmd.Env = append(cmd.Env, sessionEnv+"="+top)
	return cmd.CombinedOutput()
}

// dieInUpdate opens the store and writes a record, and is killed on the way.
func dieInUpdate(t *testing.T, dir tokenstore.Dir) {
	switch os.Getenv("UPDATE") {
	case "0":
		mustOpen(t, dying{dir})
	case "1":
		put(t, mustOpen(t, dying{dir}), "alice", strings.Repeat("n", 64<<10))
	case "2":
		mustOpen(t, dying{dir}, "second", "key")
	}
}

// dying is a store whose process is killed before a record is written.
type dying struct{ tokenstore.Dir }

func (d dying) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	return d.Dir.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
		record, err := next(ctx, old)
		if err == nil {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return record, err
	})
}

func TestRule081_no_keyring_is_an_error_in_time(t *testing.T) {
	bus := newSession
	refuse := dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"not you"})
	asks := func() (bool, *dbus.Error) { return true, nil }
	tests := []struct {
		name  string
		begin func(t *testing.T) *session
		setUp func(t *testing.T)
		hangs bool   // until the context is over
		says  string // in the error
	}{
		{"absent without bus", noBus, nil, false, "session bus"},
		{"absent bus", deadBus, nil, false, "connect:"},
		{"absent service", bus, nil, false, "org.freedesktop.secrets"},
		{"absent system", bus, func(*testing.T) { system.MockInitWithError(system.ErrUnsupportedPlatform) }, false, "unsupported platform"},
		{"locked", locked, nil, false, "unlock"},
		{"denied", bus, serve(&fake{unlock: func() (bool, *dbus.Error) { return false, refuse }}), false, "not you"},
		{"dismissed", bus, dismissing, false, "unlock"},
		{"prompting", bus, serve(&fake{unlock: asks}), true, "waiting for a password"},
		{"hanging", unlocked, func(t *testing.T) { signalDaemon(t, syscall.SIGSTOP) }, true, "not answered"},
		{"bus ends while prompting", bus, busEnds, false, ""},
		{"not kept", bus, serve(&fake{}), false, "did not keep"},
		{"quoting", bus, serve(&fake{create: quote}), false, "quotes the key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !inSession(t, tt.begin) {
				return
			}
			if tt.setUp != nil {
				tt.setUp(t)
			}
			wantUnavailable(t, tt.hangs, tt.says)
		})
	}
	t.Run("late", testLate)
	t.Run("secret in no other process", testNoSecretInProc)
}

// wantUnavailable opens a store that has no key yet.
func wantUnavailable(t *testing.T, hangs bool, says string) {
	t.Helper()
	limit := enough
	if hangs {
		limit = time.Second
	}
	below := new(tokenstore.Memory)
	err := openWithin(t, below, limit)
	if !errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) != hangs || !strings.Contains(err.Error(), says) {
		t.Errorf("Open = %v, want ErrUnavailable that says %q, time ran out: %v", err, says, hangs)
	}
	if text := secretGiven.Load(); text != nil && strings.Contains(fmt.Sprintf("%v %+v", err, err), *text) {
		t.Errorf("the key is in the error: %v", err)
	}
	if keys := keysOf(t, below); len(keys) > 0 {
		t.Errorf("the store has the records %q", keys)
	}
	if says != "did not keep" && !strings.Contains(says, "quotes") { // which show when a key is written
		wantUnavailableKey(t, hangs)
	}
}

// wantUnavailableKey opens a store that has a key: it is not lost.
func wantUnavailableKey(t *testing.T, hangs bool) {
	t.Helper()
	limit := enough
	if hangs {
		limit = time.Second
	}
	below := new(tokenstore.Memory)
	key, err := tokenstore.GenerateSealKey("k")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := tokenstore.NewSealed(below, key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, sealed, "freshet-keyring.key", "")
	err = openWithin(t, below, limit)
	if !errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) != hangs ||
		strings.Contains(err.Error(), "earlier question") != hangs { // one prompt is enough
		t.Errorf("Open of a store with a key = %v, want ErrUnavailable, time ran out: %v", err, hangs)
	}
}

// openWithin returns the error of Open, which comes even if Open hangs.
func openWithin(t *testing.T, below tokenstore.Store, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		s, err := keyring.Open(ctx, keyring.Config{Service: service, Store: below})
		if err == nil || s != nil {
			err = fmt.Errorf("Open = %v, %w", s, err)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(limit + enough):
		t.Fatal("Open hangs")
		return nil
	}
}

// deadBus is a session whose bus is gone.
func deadBus(t *testing.T) *session {
	dir := t.TempDir()
	return &session{dir: dir, address: "unix:path=" + dir + "/bus"}
}

// locked is a session whose keyring asks for a password that nobody can enter.
func locked(t *testing.T) *session {
	s := unlocked(t)
	s.stopKeyring()
	s.startKeyring(t, "")
	return s
}

func serve(f *fake) func(*testing.T) {
	return func(t *testing.T) { f.serve(t) }
}

func dismissing(t *testing.T) {
	f := &fake{unlock: func() (bool, *dbus.Error) { return true, nil }}
	f.prompt = f.dismiss
	f.serve(t)
}

// busEnds ends the bus once the user is asked.
func busEnds(t *testing.T) {
	pid, err := strconv.Atoi(os.Getenv(busEnv))
	if err != nil {
		t.Fatal(err)
	}
	(&fake{
		unlock: func() (bool, *dbus.Error) { return true, nil },
		prompt: func() {
			time.Sleep(200 * time.Millisecond) // until that is answered, and the user waited for
			syscall.Kill(pid, syscall.SIGKILL)
		},
	}).serve(t)
}

// quote keeps nothing, and says what it was given.
func quote(secret string) *dbus.Error {
	secretGiven.Store(&secret)
	return dbus.NewError("org.example.Error", []any{"can't keep " + secret})
}
