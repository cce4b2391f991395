package storetest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// startTime is how long a child may take to come to its job.
const startTime = time.Minute

// jobTime is how many times patience a child may take for the rest of its job.
const jobTime = 4

// A process is a child, seen by its parent.
type process struct {
	c     *check
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // for us; closed when the child has ended
	rest  tail        // what else it printed
	err   error       // how it ended; set before lines is closed
}

// start starts a child that does its part of this case, and waits until it has
// come to it.
func (c *check) start() *process {
	c.Helper()
	p := &process{c: c, lines: make(chan string, 16)}
	if err := p.begin(); err != nil {
		c.Fatalf("starting the test binary again: %v", err)
	}
	c.Cleanup(p.kill)
	p.hear(started, startTime)
	return p
}

func (p *process) begin() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := json.Marshal(job{p.c.test, p.c.name, p.c.place})
	if err != nil {
		return err
	}
	p.cmd = exec.Command(exe, arguments(p.c.test)...)
	p.cmd.Env = append(os.Environ(), jobVar+"="+string(text),
		// Otherwise the race detector sleeps for a second at the end of each.
		"GORACE="+strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	p.cmd.Stderr = &p.rest
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go p.read(stdout)
	return nil
}

// arguments returns those with which the test binary runs that test only, and
// those of the program's own.
func arguments(test string) []string {
	elems := strings.Split(test, "/")
	for i, e := range elems {
		elems[i] = "^" + regexp.QuoteMeta(e) + "$"
	}
	args := []string{"-test.run=" + strings.Join(elems, "/"), "-test.count=1", "-test.timeout=" + (2 * childTime).String()}
	for _, arg := range os.Args[1:] {
		if !strings.HasPrefix(strings.TrimLeft(arg, "-"), "test.") {
			args = append(args, arg)
		}
	}
	return args
}

// read passes on what the child says until it ends.
func (p *process) read(stdout io.Reader) {
	r := bufio.NewReader(stdout)
	for {
		line, err := r.ReadString('\n')
		if said, ok := strings.CutPrefix(line, linePrefix); ok {
			p.lines <- strings.TrimSpace(said)
		} else {
			p.rest.Write([]byte(line))
		}
		if err != nil {
			break
		}
	}
	p.err = p.cmd.Wait()
	close(p.lines)
}

// hear waits for a line that begins with want, and returns what follows.
func (p *process) hear(want string, limit time.Duration) string {
	p.c.Helper()
	select {
	case line, ok := <-p.lines:
		if rest, is := strings.CutPrefix(line, want); is {
			return strings.TrimSpace(rest)
		}
		if ok {
			p.c.Fatalf("the other process says %q, want %q\n%s", line, want, &p.rest)
		}
		p.c.Fatalf("the other process has ended (%v) before it said %q\n%s", p.err, want, &p.rest)
	case <-time.After(limit):
		p.c.Fatalf("the other process has not said %q after %v\n%s", want, limit, &p.rest)
	}
	return ""
}

// tell writes a line to the child.
func (p *process) tell(line string) {
	p.c.Helper()
	if _, err := fmt.Fprintln(p.stdin, line); err != nil {
		p.c.Fatalf("telling the other process: %v\n%s", err, &p.rest)
	}
}

// finish waits until the child has done its job and ended. It ends badly after a
// data race, too.
func (p *process) finish() {
	p.c.Helper()
	p.hear("done", jobTime*patience) // it has many Updates to do
	select {
	case <-p.lines:
	case <-time.After(patience):
		p.c.Fatalf("the other process is done, and has not ended after %v\n%s", patience, &p.rest)
	}
	if p.err != nil {
		p.c.Fatalf("the other process is done, and has ended with %v\n%s", p.err, &p.rest)
	}
}

// kill kills the child, if it has not ended, and waits for its end.
func (p *process) kill() {
	p.cmd.Process.Kill()
	for range p.lines {
	}
}

// A tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (l *tail) Write(b []byte) (int, error) {
	const most = 8 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, b...)
	l.kept = l.kept[max(0, len(l.kept)-most):]
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(string(l.kept))
}
