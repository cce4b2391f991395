package tokenstore_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/tokenstore"
)

// Here a real process works on a real directory, and strace shows what it asks
// of the system, kills it at any such call, or has a call fail.

// A call is a system call.
type call struct {
	thread, name string
	text         string // arguments and result, as strace writes them
	nth          int    // of that name in its thread, as strace counts
}

// A trace is what is known of a process that strace ran.
type trace struct {
	dir   tokenstore.Dir
	calls []call
	begin int // index of the first call of the operation
	next  int // the first call after the mark that the function leaves; 0 without
	end   int // the mark behind the last one, or len(calls) if it was not reached
	out   string
}

// fileCalls are the calls that touch a file, with the names they have on
// different machines.
const fileCalls = "?openat,?newfstatat,?fstatat64,?fstat,?fstat64,?flock,?read,?pread64,?write,?pwrite64,?ftruncate,?ftruncate64," +
	"?fsync,?fdatasync,?renameat,?renameat2,?unlinkat,?mkdirat,?close,?fchmod,?fchmodat,?linkat,?getdents64"

// A tracer runs this test binary under strace.
type tracer struct {
	strace, exe string
	temp        string
}

func newTracer(t *testing.T) *tracer {
	t.Helper()
	if strconv.IntSize == 32 { // where the fault seldom meets the thread that it is for
		t.Skip("the calls are those that are looked at on 64 bits")
	}
	strace := testenv.Tool(t, "strace")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(strace, "-f", "-e", "trace=close", "-o", os.DevNull, exe, "-test.run=^$").CombinedOutput(); err != nil {
		testenv.Missing(t, "strace can't be used here: %v: %s", err, out)
	}
	return &tracer{strace, exe, t.TempDir()}
}

// newDir makes a directory, with a record unless op is "first".
func (tr *tracer) newDir(t *testing.T, op string) tokenstore.Dir {
	parent, err := os.MkdirTemp(tr.temp, "")
	if err != nil {
		t.Error(err)
	}
	dir := tokenstore.Dir(parent + "/a/tokens")
	if op != "first" {
		if err := dir.Update(context.Background(), "k", put(oldRecord)); err != nil {
			t.Error(err)
		}
	}
	return dir
}

// run has a new process do op in a new directory, with an injection or "".
func (tr *tracer) run(t *testing.T, op, timeout, ahead, inject string) trace {
	return tr.runIn(t, tr.newDir(t, op), op, timeout, ahead, inject)
}

func (tr *tracer) runIn(t *testing.T, dir tokenstore.Dir, op, timeout, ahead, inject string) trace {
	file := filepath.Dir(filepath.Dir(string(dir))) + "/trace"
	args := []string{"-f", "-y", "-s", "16", "-o", file, "-e", "trace=" + fileCalls, "-e", "signal=none"}
	if inject != "" {
		args = append(args, "-e", "inject="+inject)
	}
	cmd := exec.Command(tr.strace, append(args, tr.exe, string(dir), op+" "+timeout+" "+ahead)...)
	cmd.Env = append(os.Environ(), helperEnv+"=traced", "GORACE=atexit_sleep_ms=0", "GOMAXPROCS=1", "GOGC=off")
	out, _ := cmd.Output() // fails when the process is killed, and the trace tells that
	b, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	return parseTrace(dir, string(b), string(out))
}

var traceLine = regexp.MustCompile(`^(\d+) +(?:(\w+)\((.*)|<\.\.\. \w+ resumed>(.*))$`)

func parseTrace(dir tokenstore.Dir, text, out string) trace {
	tr := trace{dir: dir, out: out}
	last := make(map[string]int) // index of the last call of each thread
	made := make(map[string]int) // how many calls of each name it made
	for line := range strings.Lines(text) {
		m := traceLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue // a thread ended
		}
		if m[2] == "" {
			if i := last[m[1]]; i >= 0 {
				tr.calls[i].text += m[4]
			}
			continue
		}
		made[m[1]+m[2]]++
		if strings.Contains(m[3], "<anon_inode:") { // the runtime wakes itself, now and then
			last[m[1]] = -1
			continue
		}
		last[m[1]] = len(tr.calls)
		switch tr.calls = append(tr.calls, call{m[1], m[2], m[3], made[m[1]+m[2]]}); {
		case strings.Contains(m[3], "/freshet-mark-begin"):
			tr.begin = len(tr.calls)
		case strings.Contains(m[3], "/freshet-mark-next"):
			tr.next = len(tr.calls)
		case strings.Contains(m[3], "/freshet-mark-end"):
			tr.end = len(tr.calls) - 1
		}
	}
	if tr.end == 0 {
		tr.end = len(tr.calls)
	}
	return tr
}

// index returns the index of the first call, from i on, whose name begins with
// name and whose text has each of the parts; -1 if there is none.
func (tr trace) index(i int, name string, parts ...string) int {
	for ; i < len(tr.calls); i++ {
		found := strings.HasPrefix(tr.calls[i].name, name)
		for _, part := range parts {
			found = found && strings.Contains(tr.calls[i].text, part)
		}
		if found {
			return i
		}
	}
	return -1
}

func (tr trace) String() string {
	var b strings.Builder
	for _, c := range tr.calls[tr.begin:] {
		fmt.Fprintf(&b, "%s %s(%s\n", c.thread, c.name, c.text)
	}
	return b.String()
}

// A clean run is one without a fault, with either kind of thread ahead.
type clean struct {
	op           string
	main, others trace
}

func (tr *tracer) clean(t *testing.T, op string) clean {
	t.Helper()
	c := clean{op, tr.run(t, op, "10s", "main", ""), tr.run(t, op, "10s", "others", "")}
	if !strings.HasSuffix(c.main.out, " <nil>") || c.main.begin == 0 || c.main.names() != c.others.names() {
		t.Fatalf("without a fault: %s %s\n%s\n%s", c.main.out, c.others.out, c.main, c.others)
	}
	return c
}

// names tells which calls the operation made.
func (tr trace) names() string {
	var b strings.Builder
	for _, c := range tr.calls[tr.begin:tr.end] {
		b.WriteString(c.name + " ")
	}
	return b.String()
}

// inject repeats the clean run with a fault at the nth call of the operation.
// The threads may be other ones each time, so it looks whether the fault came
// there, and if not it tries again.
func (tr *tracer) inject(t *testing.T, c clean, n int, timeout, fault, repeat string) (trace, bool) {
	from, ahead := c.main, "main"
	if begin := from.begin; from.calls[begin+n].thread != from.calls[begin-1].thread {
		from, ahead = c.others, "others"
	}
	want := from.calls[from.begin+n].name
	for range 100 { // on a busy machine most may miss
		got := tr.run(t, c.op, timeout, ahead, fmt.Sprintf("%s:%s:when=%d%s", want, fault, from.calls[from.begin+n].nth, repeat))
		if got.begin > 0 && got.hit(n, want, strings.HasPrefix(fault, "signal")) {
			return got, true
		}
		if got.begin == 0 { // it came ahead of the operation, and would do so again
			ahead = map[string]string{"main": "others", "others": "main"}[ahead]
			got = tr.run(t, c.op, "10s", ahead, "")
		}
		if i := got.begin + n; got.begin > 0 && i < len(got.calls) && got.calls[i].name == want {
			from = got
		}
	}
	t.Errorf("%s: call %d, %s, could not be made to fail with %s", c.op, n, want, fault)
	return trace{}, false
}

// hit reports whether the first fault of the run came at the nth call of the
// operation.
func (tr trace) hit(n int, name string, kill bool) bool {
	i := tr.begin + n
	if i >= len(tr.calls) || tr.calls[i].name != name {
		return false
	}
	if kill {
		return i == len(tr.calls)-1 && !strings.Contains(tr.calls[i].text, ") = 0")
	}
	return tr.index(0, "", "(INJECTED)") == i || tr.index(0, "", "(DELAYED)") == i
}

// atOnce runs the jobs, a few at a time.
func atOnce(jobs []func()) {
	var wg sync.WaitGroup
	room := make(chan struct{}, 4)
	for _, job := range jobs {
		room <- struct{}{}
		wg.Go(func() { defer func() { <-room }(); job() })
	}
	wg.Wait()
}

// thorough says whether there is time for every fault at every call.
func thorough(t *testing.T) bool {
	return os.Getenv("CI") == "true" || testenv.Time(t) >= 5*time.Second
}
