// Package rules_test keeps what no compiler does: that every rule has its test,
// that imports point one way, and that files stay short.
package rules_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the root of the tree, seen from here, where go test runs.
const root = "../.."

// goFiles returns the Go files of the tree, those of nested modules too, as paths
// from its root with slashes. It leaves out what the go tool leaves out.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && ignored(d.Name()):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ".go") && !ignored(d.Name()):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func ignored(name string) bool {
	return name == "testdata" || name != "." && strings.ContainsAny(name[:1], "._")
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
