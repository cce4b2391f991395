package tokenstore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// helpers are what this test binary does when it is started as another process
// of a test: see start.
var helpers = map[string]func(dir tokenstore.Dir, arg string) error{
	"hold": hold,
	"grow": grow,
}

const helperEnv = "FRESHET_TOKENSTORE_HELPER"

func TestMain(m *testing.M) {
	help, ok := helpers[os.Getenv(helperEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := help(tokenstore.Dir(os.Args[1]), os.Args[2]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// A process is a helper that runs.
type process struct {
	*exec.Cmd
	out *bufio.Reader
}

func start(t *testing.T, helper string, dir tokenstore.Dir, arg string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, string(dir), arg)
	// The race detector would sleep for a second at the end of each.
	cmd.Env = append(os.Environ(), helperEnv+"="+helper, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &process{cmd, bufio.NewReader(out)}
}

// line waits for the helper's next line.
func (p *process) line(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("helper: %v", err)
	}
	return strings.TrimSpace(line)
}

// hold holds the key arg until it is killed.
func hold(dir tokenstore.Dir, arg string) error {
	return dir.Update(context.Background(), arg, func(context.Context, []byte) ([]byte, error) {
		fmt.Println("held")
		time.Sleep(time.Hour) // select {} would be a deadlock to the runtime
		return nil, nil
	})
}

// grow increments a record for ever, in several lengths, and says each number
// that Update has returned for. A record is its number, and as often the letter
// a as the number tells.
func grow(dir tokenstore.Dir, arg string) error {
	for {
		var n int
		err := dir.Update(context.Background(), arg, func(_ context.Context, old []byte) ([]byte, error) {
			var err error
			if n, err = grown(old); err != nil {
				return nil, err
			}
			n++
			return fmt.Appendf(nil, "%d %s", n, strings.Repeat("a", n*7919%20000)), nil
		})
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// grown returns the number of a record that grow wrote, and an error if the
// record is not exactly as it was written.
func grown(record []byte) (n int, err error) {
	if record == nil {
		return 0, nil
	}
	number, tail, _ := strings.Cut(string(record), " ")
	if n, err = strconv.Atoi(number); err != nil {
		return 0, err
	}
	if len(tail) != n*7919%20000 || strings.Trim(tail, "a") != "" {
		return 0, fmt.Errorf("record %d is torn: %d bytes", n, len(record))
	}
	return n, nil
}
