package storetests_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCarelessTables shows that storetest finds what people get wrong in a store
// like [Table]: with one mistake in its source, just the case that is about that
// mistake fails.
func TestCarelessTables(t *testing.T) {
	needsPostgres(t)
	source, err := os.ReadFile("table_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ mistake, right, wrong, fails string }{
		{"transaction of the caller's context", "conn.BeginTx(detached, nil)", "conn.BeginTx(ctx, nil)", "saves-after-context"},
		{"function of the caller's context", "next(detached, old)", "next(ctx, old)", "context-of-next"},
		{"nil is NULL", "coalesce($2::bytea, '')", "$2", "empty-record"},
	} {
		t.Run(tt.mistake, func(t *testing.T) {
			t.Parallel()
			if n := strings.Count(string(source), tt.right); n != 1 {
				t.Fatalf("%q is %d times in table_test.go", tt.right, n)
			}
			out := testWith(t, "table_test.go", strings.Replace(string(source), tt.right, tt.wrong, 1))
			if got := failed(out); !slices.Equal(got, []string{tt.fails}) {
				t.Errorf("the cases %q fail, want %q\n%s", got, tt.fails, out)
			}
		})
	}
}

// testWith runs TestTableOnPostgres with another text in the place of a file, and
// returns what is printed.
func testWith(t *testing.T, file, text string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	other, overlay := filepath.Join(dir, file), filepath.Join(dir, "overlay.json")
	b, err := json.Marshal(map[string]map[string]string{"Replace": {path: other}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{other: text, overlay: string(b)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-overlay="+overlay, "-run=^TestTableOnPostgres$", ".")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("the test passes")
	}
	return string(out)
}

var failedCase = regexp.MustCompile(`--- FAIL: TestTableOnPostgres/(\S+)`)

func failed(out string) (cases []string) {
	for _, m := range failedCase.FindAllStringSubmatch(out, -1) {
		cases = append(cases, m[1])
	}
	return cases
}
