package storetest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// jobVar is the environment variable that makes a process a child, and tells it
// its job.
const jobVar = "FRESHET_STORETEST"

// linePrefix begins the lines that children write to standard output and that
// are meant for the parent. Tests print what they like there.
const linePrefix = "\x1ffreshet-storetest\x1f "

// started is what a child says first.
const started = "reached Run and opened the store"

// childTime is how long a child lives at most.
const childTime = 2 * time.Minute

// A job is what a child has to do.
type job struct {
	Test  string // the test in which it is to call Run
	Case  string
	Place string
}

// A child is the other process of a case.
type child struct {
	cfg   Config
	store tokenstore.Store
	told  <-chan string // lines from the parent
}

// inChild does the job of this process if it is a child, and does not return
// then, unless the job is for another test, which is still to come.
func inChild(t *testing.T, cfg Config) bool {
	t.Helper()
	text, ok := os.LookupEnv(jobVar)
	if !ok {
		return false
	}
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		t.Fatalf("storetest: the environment variable %s is %q, and only Run sets it: %v", jobVar, text, err)
	}
	if j.Test != t.Name() {
		return true
	}
	cases := sharedCases()
	i := slices.IndexFunc(cases, func(tc testCase) bool { return tc.name == j.Case })
	if i < 0 || cases[i].child == nil {
		t.Fatalf("storetest: the environment variable %s names no case: %q", jobVar, text)
	}
	time.AfterFunc(childTime, func() { os.Exit(3) })
	c := &child{cfg: cfg, told: listen()}
	c.store = &bounded{t, cfg.Open(t, j.Place), childTime, new(atomic.Bool)}
	c.say(started)
	if err := cases[i].child(c); err != nil {
		c.say("failed: %v", err)
		os.Exit(1)
	}
	c.say("done")
	os.Exit(0) // and not by way of t.Cleanup: the place is the parent's
	return true
}

// listen returns the lines of standard input. When that ends, the parent has
// died or is done with this process, which ends, too.
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

// say writes a line for the parent. It begins on a new line whatever was
// printed before.
func (c *child) say(format string, args ...any) {
	fmt.Fprintf(os.Stdout, "\n"+linePrefix+"%s\n", fmt.Sprintf(format, args...))
}

// await waits until the parent says so.
func (c *child) await(line string) error {
	if got := <-c.told; got != line {
		return fmt.Errorf("the parent says %q, want %q", got, line)
	}
	return nil
}
