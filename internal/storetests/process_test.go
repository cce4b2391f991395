//go:build unix

package storetests_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// jobVar is the environment variable that makes a process a worker, and tells it
// its job.
const jobVar = "FRESHET_STORETESTS_WORKER"

// linePrefix begins the lines that are meant for the parent.
const linePrefix = "\x1fworker\x1f "

// patience is how long anything may take that no clock of the test decides.
const patience = time.Minute

// A job is what a worker has to do, and with which store.
type job struct {
	Does   string // the name of one of workers
	Name   string // of the worker
	Store  string // the name of one of sharedStores
	Place  string
	Leases leases
	Fleet  fleetJob
}

// workers are what processes do.
var workers = map[string]func(w *worker){
	"fleet":  (*worker).fleet,
	"holder": (*worker).hold,
	"sender": (*worker).send,
	"ops":    (*worker).operate,
	"user":   (*worker).use,
	"member": (*worker).member,
}

// A worker is a process of a test, seen by itself.
type worker struct {
	*testing.T
	job   job
	store tokenstore.Store
	told  <-chan string // lines from the parent

	mu sync.Mutex // of standard output
}

// TestWorker is what a worker runs. Where the test binary is not started as one, it
// does nothing.
func TestWorker(t *testing.T) {
	text, ok := os.LookupEnv(jobVar)
	if !ok {
		return
	}
	w := &worker{T: t, told: listen()}
	if err := json.Unmarshal([]byte(text), &w.job); err != nil {
		t.Fatal(err)
	}
	w.store = sharedStores[w.job.Store].open(t, w.job.Place, w.job.Leases)
	w.say("started")
	workers[w.job.Does](w)
	os.Exit(0) // and not by way of t.Cleanup: the place is the parent's
}

// listen returns the lines of standard input. When that ends the parent has, and
// so does this process.
func listen() <-chan string {
	lines := make(chan string)
	go func() {
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			lines <- s.Text()
		}
		os.Exit(3)
	}()
	return lines
}

// say writes a line for the parent.
func (w *worker) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(os.Stdout, "\n"+linePrefix+"%s\n", fmt.Sprintf(format, args...))
}

// A process is a worker, seen by its parent.
type process struct {
	t     testing.TB
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // from it; closed when it has ended
	rest  strings.Builder
}

// start starts a worker, which says "started" when it has opened its store.
func start(t testing.TB, j job) *process {
	t.Helper()
	p := &process{t: t, name: j.Name, lines: make(chan string, 64)}
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(exe, "-test.run=^TestWorker$", "-test.timeout=10m")
	p.cmd.Env = append(os.Environ(), jobVar+"="+string(text), "GORACE=atexit_sleep_ms=0")
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(stdout)
	t.Cleanup(p.kill)
	return p
}

// read passes on what the worker says until it ends.
func (p *process) read(stdout io.Reader) {
	defer close(p.lines)
	defer p.cmd.Wait()
	r := bufio.NewReader(stdout)
	for {
		line, err := r.ReadString('\n')
		if said, ok := strings.CutPrefix(line, linePrefix); ok {
			p.lines <- strings.TrimSpace(said)
		} else if strings.TrimSpace(line) != "" {
			p.rest.WriteString(line)
		}
		if err != nil {
			return
		}
	}
}

// hear waits for a line that begins with want, and returns what follows.
func (p *process) hear(want string) string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if rest, is := strings.CutPrefix(line, want); is {
			return strings.TrimSpace(rest)
		}
		if ok {
			p.t.Fatalf("%s says %q, want %q", p.name, line, want)
		}
		p.t.Fatalf("%s has ended before it said %q: %s", p.name, want, &p.rest)
	case <-time.After(patience):
		p.t.Fatalf("%s has not said %q in %s", p.name, want, patience)
	}
	return ""
}

// tell writes a line to the worker. One that was killed does not hear it.
func (p *process) tell(format string, args ...any) { fmt.Fprintf(p.stdin, format+"\n", args...) }

// kill is kill -9. It returns when the process is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	for range p.lines {
	}
}

// stop is SIGSTOP. It returns when no thread of the process runs any more.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return err
		case !status.Stopped():
			return fmt.Errorf("%s was to be stopped and has ended", p.name)
		default:
			return nil
		}
	}
}

// goOn is SIGCONT.
func (p *process) goOn() error { return p.cmd.Process.Signal(syscall.SIGCONT) }
