package tokenstore_test

import (
	"strings"
	"testing"
)

// TestDirSyncs counts the fsyncs of each operation, which are most of its time: for an
// Update the record and its name, and nothing where nothing is written. The first one
// makes two directories and the lock file durable, too.
func TestDirSyncs(t *testing.T) {
	tr := newTracer(t)
	for op, want := range map[string]int{"first": 5, "update": 2, "short": 2, "unchanged": 0, "delete": 1, "load": 0, "keys": 0} {
		t.Run(op, func(t *testing.T) {
			c := tr.clean(t, op)
			names := c.main.names()
			if got := strings.Count(names, "fsync ") + strings.Count(names, "fdatasync "); got != want {
				t.Errorf("%d syncs, want %d: %s", got, want, names)
			}
		})
	}
}
