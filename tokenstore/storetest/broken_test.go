package storetest_test

import (
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/storetest"
)

// A broken store breaks one rule.
type broken struct {
	name   string
	fails  string // the case that must fail, and no other one
	shared bool
	open   func(place string) tokenstore.Store
}

// mayFailToo are cases that a store fails for the same reason, if goroutines meet
// as they seldom do.
var mayFailToo = map[string][]string{"caches": {"linearizable"}}

const brokenVar = "FRESHET_STORETEST_BROKEN"

// TestBroken shows that each case finds a store that breaks its rule, and then
// prints the rule, and that no other case is mistaken. The stores are tested in
// another process, because their tests fail.
func TestBroken(t *testing.T) {
	stores := slices.Concat(brokenRecords(), brokenKeys(), brokenContexts(), brokenExclusion(), brokenShared())
	if os.Getenv(brokenVar) != "" {
		runBroken(t, stores)
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestBroken$", "-test.parallel=50")
	cmd.Env = append(os.Environ(), brokenVar+"=1")
	out, _ := cmd.CombinedOutput()
	failures := parseFailures(string(out))
	if len(failures) == 0 {
		t.Fatalf("no failure is seen in\n%s", out)
	}
	rules := storetest.Rules()
	found := make(map[string]bool)
	for _, b := range stores {
		got := failures[b.name]
		maps.DeleteFunc(got, func(name, _ string) bool { return slices.Contains(mayFailToo[b.name], name) })
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, []string{b.fails}) {
			t.Errorf("%s: the cases %q fail, want %q\n%s", b.name, names, b.fails, strings.Join(slices.Collect(maps.Values(got)), "\n"))
			continue
		}
		if !strings.Contains(got[b.fails], rules[b.fails]) {
			t.Errorf("%s: the rule is not printed:\n%s", b.name, got[b.fails])
		}
		found[b.fails] = true
	}
	for name := range rules {
		if !found[name] {
			t.Errorf("no broken store shows that the case %q can fail", name)
		}
	}
}

func runBroken(t *testing.T, stores []broken) {
	storetest.SetPatience(2 * time.Second)
	for _, b := range stores {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, storetest.Config{
				Open:     func(_ *testing.T, place string) tokenstore.Store { return b.open(place) },
				Shared:   b.shared,
				Takeover: time.Second,
			})
		})
	}
}

// parseFailures returns what is printed for each case that fails, by store and
// case.
func parseFailures(out string) map[string]map[string]string {
	failures := make(map[string]map[string]string)
	mark := regexp.MustCompile(`(?m)^ *--- (FAIL|PASS|SKIP): TestBroken/([^/ ]+)/([^/ ]+) .*$`)
	marks := mark.FindAllStringSubmatchIndex(out, -1)
	for i, m := range marks {
		if out[m[2]:m[3]] != "FAIL" {
			continue
		}
		end := len(out)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		store, name := out[m[4]:m[5]], out[m[6]:m[7]]
		if failures[store] == nil {
			failures[store] = make(map[string]string)
		}
		failures[store][name] = out[m[0]:end]
	}
	return failures
}
