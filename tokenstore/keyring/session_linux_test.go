package keyring_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/freshet-go/freshet/internal/testenv"
)

const (
	sessionEnv = "FRESHET_KEYRING_SESSION" // the test that runs in the session
	addressEnv = "DBUS_SESSION_BUS_ADDRESS"
	busEnv     = "FRESHET_KEYRING_BUS"    // the process of the bus
	daemonEnv  = "FRESHET_KEYRING_DAEMON" // the process of the keyring
)

// A session is that of a user who has just logged in: a D-Bus of his own, and a
// home that goes with the test. The keyring and the user's own are never touched.
type session struct {
	dir     string
	address string
	bus     *exec.Cmd            // if it runs
	daemon  *exec.Cmd            // GNOME Keyring, if it runs
	attr    *syscall.SysProcAttr // of the tests that run in it
}

// busConfig is a bus that starts nothing by itself.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>`

// newSession starts a bus on which there is no keyring yet.
func newSession(t *testing.T) *session {
	t.Helper()
	tool := testenv.Tool(t, "dbus-daemon")
	dir, err := os.MkdirTemp("", "freshet") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &session{dir: dir, address: "unix:path=" + dir + "/bus"}
	config := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, dir+"/bus"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool, "--config-file="+config, "--nofork", "--nopidfile", "--print-address=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.start(t, cmd)
	s.bus = cmd
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("dbus-daemon says %q, %v", line, err)
	}
	return s
}

// start starts a process that ends with the test, or with the test's process.
func (s *session) start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Env = s.env()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// env is that of this process, in this session instead of the user's.
func (s *session) env() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "HOME", "DISPLAY", "WAYLAND_DISPLAY", "GNOME_KEYRING_CONTROL", addressEnv, "XDG_DATA_HOME", "XDG_RUNTIME_DIR":
		default:
			env = append(env, v)
		}
	}
	env = append(env, "HOME="+s.dir, "XDG_DATA_HOME="+s.dir+"/data", "XDG_RUNTIME_DIR="+s.dir)
	if s.address != "" {
		env = append(env, addressEnv+"="+s.address)
	}
	if s.bus != nil {
		env = append(env, busEnv+"="+strconv.Itoa(s.bus.Process.Pid))
	}
	if s.daemon != nil {
		env = append(env, daemonEnv+"="+strconv.Itoa(s.daemon.Process.Pid))
	}
	return env
}

// startKeyring starts GNOME Keyring, unlocked if there is a password, and waits
// until it is on the bus.
func (s *session) startKeyring(t *testing.T, password string) {
	t.Helper()
	args := []string{"--components=secrets", "--foreground", "--control-directory=" + s.dir + "/control"}
	if password != "" {
		args = append(args, "--unlock")
	}
	cmd := exec.Command(testenv.Tool(t, "gnome-keyring-daemon"), args...)
	cmd.Stdin = strings.NewReader(password)
	s.start(t, cmd)
	s.daemon = cmd
	bus, err := dbus.Connect(s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	for range 300 {
		var is bool
		if err := bus.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "org.freedesktop.secrets").Store(&is); err != nil {
			t.Fatal(err)
		}
		if is {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("gnome-keyring-daemon does not come to the bus")
}

func (s *session) stopKeyring() {
	s.daemon.Process.Kill()
	s.daemon.Wait()
	s.daemon = nil
}

// unlocked returns a session whose keyring is open.
func unlocked(t *testing.T) *session {
	t.Helper()
	s := newSession(t)
	s.startKeyring(t, "password")
	return s
}

// inSession reports whether this process runs t in the session. If it does not,
// it runs t again in one that does: a process knows one bus for all its life.
func inSession(t *testing.T, begin func(*testing.T) *session, env ...string) bool {
	t.Helper()
	if os.Getenv(sessionEnv) == t.Name() {
		return true
	}
	if out, err := rerun(t, begin(t), env...).CombinedOutput(); err != nil || bytes.Contains(out, []byte("no tests to run")) {
		t.Errorf("in a session of its own: %v\n%s", err, out)
	}
	return false
}

// rerun returns what runs t again in a session, or in this one if s is nil.
func rerun(t *testing.T, s *session, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range strings.SplitSeq(t.Name(), "/") {
		names = append(names, "^"+regexp.QuoteMeta(name)+"$")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, exe, "-test.run="+strings.Join(names, "/"), "-test.count=1", "-test.timeout=4m")
	cmd.Env = os.Environ()
	if s != nil {
		cmd.Env, cmd.SysProcAttr = s.env(), s.attr
	}
	// The race detector would sleep for a second at the end.
	cmd.Env = append(cmd.Env, sessionEnv+"="+t.Name(), "GORACE=atexit_sleep_ms=0")
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// signalDaemon sends a signal to the keyring of this process's session.
func signalDaemon(t *testing.T, signal syscall.Signal) {
	t.Helper()
	pid, err := strconv.Atoi(os.Getenv(daemonEnv))
	if err := cmp.Or(err, syscall.Kill(pid, signal)); err != nil {
		t.Fatal(err)
	}
}
