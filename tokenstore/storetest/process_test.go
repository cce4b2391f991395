package storetest

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

var own = flag.String("own", "", "a flag of the program's own, which children get, too")

var dirs = Config{
	Open:   func(_ *testing.T, place string) tokenstore.Store { return tokenstore.Dir(place) },
	Shared: true,
}

// runOne is Run with one case only.
func runOne(t *testing.T, cfg Config, name string) {
	t.Helper()
	if inChild(t, cfg) {
		return
	}
	cases := casesFor(cfg)
	c := &check{T: t, cfg: cfg, place: newPlace(t), test: t.Name(), name: name}
	c.do(cases[slices.IndexFunc(cases, func(tc testCase) bool { return tc.name == name })])
}

// A child finds the test that called Run, whatever its name, and calls it for
// that one only.
func TestChildFindsTest(t *testing.T) {
	for _, name := range []string{"plain", "plain/below", `a b|c (d) [e-f] é ^$ .* \ "`, "x/y//z", "same", "same", "par*llel"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, isChild := os.LookupEnv(jobVar); isChild {
				fmt.Print("printed by the test, without a line end")
			}
			runOne(t, dirOf(name), "processes-exclude")
		})
	}
	runOne(t, dirOf("above"), "processes-exclude")
}

// dirOf makes a store that only a test of that name finds.
func dirOf(name string) Config {
	cfg := dirs
	cfg.Open = func(_ *testing.T, place string) tokenstore.Store {
		return tokenstore.Dir(filepath.Join(place, fmt.Sprintf("%x", name)))
	}
	return cfg
}

const againVar = "FRESHET_STORETEST_AGAIN"

func inAgain() bool { return os.Getenv(againVar) != "" }

// again runs this test in a process of its own, with more arguments.
func again(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, append(arguments(t.Name()), args...)...)
	cmd.Env = append(os.Environ(), againVar+"=1")
	b, err := cmd.CombinedOutput()
	return string(b), err
}

func TestChildGetsArguments(t *testing.T) {
	if !inAgain() {
		if out, err := again(t, "-test.v=true", "-own=a value"); err != nil {
			t.Errorf("the test fails:\n%s", out)
		}
		return
	}
	cfg := dirs
	cfg.Open = func(t *testing.T, place string) tokenstore.Store {
		if *own != "a value" {
			t.Fatalf("the flag is %q", *own)
		}
		return tokenstore.Dir(place)
	}
	runOne(t, cfg, "processes-exclude")
}

// What goes wrong in a child is told by its parent.
func TestChildFails(t *testing.T) {
	_, isChild := os.LookupEnv(jobVar)
	opened := func(t *testing.T, place string) tokenstore.Store { return tokenstore.Dir(place) }
	for name, tt := range map[string]struct {
		inChild func(t *testing.T, place string) tokenstore.Store // in the place of Open
		want    []string
	}{
		"unreached": {nil, []string{"before it said \"reached Run"}},
		"open": {func(t *testing.T, _ string) tokenstore.Store {
			t.Fatal("no database here")
			return nil
		}, []string{"before it said \"reached Run and opened the store\"", "no database here"}},
		"store": {func(*testing.T, string) tokenstore.Store { return tokenstore.Dir("") },
			[]string{`the other process says "failed: `, "names no directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			if !inAgain() {
				out, err := again(t)
				if err == nil {
					t.Error("the test passes")
				}
				for _, want := range tt.want {
					if !strings.Contains(out, want) {
						t.Errorf("%q is not told:\n%s", want, out)
					}
				}
				return
			}
			cfg := Config{Open: opened, Shared: true}
			if isChild {
				cfg.Open = tt.inChild
			}
			if cfg.Open == nil {
				t.Skip("does not reach Run")
			}
			runOne(t, cfg, "processes-exclude")
		})
	}
}

// A child ends when its parent does, whatever it waits for.
func TestChildEndsWithParent(t *testing.T) {
	if inChild(t, dirs) {
		return
	}
	c := &check{T: t, cfg: dirs, place: newPlace(t), test: t.Name(), name: "killed-holder"}
	p := c.start()
	p.hear("inside", patience)
	p.stdin.Close() // as the system does when the parent dies
	select {
	case line, ok := <-p.lines:
		if ok {
			t.Errorf("the child says %q", line)
		}
	case <-time.After(startTime):
		t.Error("the child lives on")
	}
	if _, err := io.WriteString(p.stdin, "write\n"); err == nil {
		t.Error("the child still reads")
	}
}

// A hanging store is a Memory whose keys are never free.
type hanging struct{ tokenstore.Memory }

func (*hanging) Update(context.Context, string, next) error { select {} }

func TestRunGivesUp(t *testing.T) {
	if inAgain() {
		SetPatience(10 * time.Millisecond)
		Run(t, Config{Open: func(*testing.T, string) tokenstore.Store { return new(hanging) }, Takeover: 1})
		return
	}
	out, _ := again(t)
	if n := strings.Count(out, "--- FAIL: TestRunGivesUp/"); n != mostHung || !strings.Contains(out, "the other cases are left out") {
		t.Errorf("%d cases fail, want %d, and then no more:\n%s", n, mostHung, out)
	}
}
