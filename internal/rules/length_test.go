package rules_test

import (
	"bytes"
	"strings"
	"testing"
)

// maxLines is how long a file may be that is no test. One that grows past it has
// two subjects.
const maxLines = 300

func TestFileLength(t *testing.T) {
	for _, path := range goFiles(t) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		if lines := bytes.Count(read(t, path), []byte("\n")); lines > maxLines {
			t.Errorf("%s has %d lines, and %d are allowed: split it by subject", path, lines, maxLines)
		}
	}
}
