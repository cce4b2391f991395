// Package storetest tests that a [tokenstore.Store] keeps its contract. A store
// needs one test, and no TestMain:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Config{
//			Open: func(t *testing.T, place string) tokenstore.Store { return mystore.Open(place) },
//		})
//	}
//
// Every rule of the contract is a subtest with a name of its own. One that fails
// says what it saw, which rule that breaks, and how stores usually come to break
// it.
package storetest

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// Config says what to test. [Run] does not change it.
type Config struct {
	// Open returns a store over place, which is new and empty: the path of a
	// directory of mode 0700. Its last element is a name that no other place
	// has, of at most 40 characters a-z, 0-9 and _, that begins with a letter,
	// for the stores that are no files: good as the name of a table or the
	// prefix of keys. What has to be cleared away is left to t.Cleanup.
	//
	// Open is called once for a place; where Shared is set, several times, in
	// this process and in others, and all these stores share their records.
	// Other processes do not clean up.
	Open func(t *testing.T, place string) tokenstore.Store

	// Shared says that processes share the store, and so do several stores
	// over one place within a process. Run then starts processes: the test
	// binary again, with the test that called Run, which finds itself in there
	// and does its part instead. So Run must be called once in a test, and in
	// those processes the test must come as far. Arguments of the program's own
	// are handed on, and so is the environment.
	Shared bool

	// Takeover is how long it may take from the death of a process that is
	// inside an Update until others can Update the key. If zero, 5 seconds.
	Takeover time.Duration

	// MaxRecord is the size in bytes of the largest record that the store
	// takes. If zero, tokenstore.MaxRecord, which is what the contract asks
	// for; a store that is left less must say so in its documentation.
	MaxRecord int
}

func (c Config) takeover() time.Duration {
	if c.Takeover == 0 {
		return 5 * time.Second
	}
	return c.Takeover
}

func (c Config) maxRecord() int {
	if c.MaxRecord == 0 {
		return tokenstore.MaxRecord
	}
	return c.MaxRecord
}

// A testCase is one rule of the contract.
type testCase struct {
	name string // of the subtest

	// rule is printed when the case fails: what the contract asks for, and what
	// usually goes wrong.
	rule string

	run func(c *check)

	// child is what another process does in the case, if there is one.
	child func(c *child) error
}

// Run tests the store that cfg.Open returns, with a place of its own for every
// case. It ends by itself even if the store hangs.
func Run(t *testing.T, cfg Config) {
	t.Helper()
	if cfg.Open == nil {
		t.Fatal("storetest: Config.Open is nil")
	}
	if inChild(t, cfg) {
		return
	}
	hung := 0 // cases
	for _, tc := range casesFor(cfg) {
		if hung == mostHung {
			t.Fatal("the store hangs, and the other cases are left out")
		}
		t.Run(tc.name, func(u *testing.T) {
			c := &check{T: u, cfg: cfg, place: newPlace(u), test: t.Name(), name: tc.name}
			defer func() {
				if c.hung.Load() {
					hung++
				}
			}()
			c.do(tc)
		})
	}
}

// mostHung is after how many cases Run gives a store up that hangs.
const mostHung = 3

// do runs one case.
func (c *check) do(tc testCase) {
	defer func() {
		c.end()
		if c.Failed() {
			c.Logf("what the contract says of %s: %s", tc.name, tc.rule)
		}
	}()
	c.store = c.open()
	tc.run(c)
}

func casesFor(cfg Config) []testCase {
	cases := slices.Concat(recordCases, keyCases, contextCases, exclusionCases)
	if cfg.Shared {
		cases = append(cases, sharedCases()...)
	}
	return cases
}

// newPlace makes a directory with a name that nobody else has.
func newPlace(t *testing.T) string {
	t.Helper()
	place := filepath.Join(t.TempDir(), "freshet_"+strings.ToLower(rand.Text()))
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	return place
}
