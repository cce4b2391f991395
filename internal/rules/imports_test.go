package rules_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/freshet-go/freshet"

// A layer says what the packages at a path may import beside the standard
// library.
type layer struct {
	path    string   // "client", or "examples/..." for all below it
	own     []string // packages of this module: the layers below
	outside []string // modules; "..." for any
	without []string // what must not be reached, not even by way of others
}

// Programs must not be linked with what is for tests.
var forTests = []string{"testing", "testing/...", module + "/internal/testserver", module + "/tokenstore/storetest"}

// layers are all packages of the module. Arrows point from a layer to those
// before it, and to nothing else.
var layers = []layer{{
	path:    "tokenstore/internal/keylock",
	without: forTests,
}, {
	path:    "tokenstore",
	own:     []string{"tokenstore/internal/keylock"},
	outside: []string{"github.com/gofrs/flock"},
	without: append([]string{"net/http"}, forTests...),
}, {
	path:    "tokenstore/internal/lease",
	own:     []string{"tokenstore", "tokenstore/internal/keylock"},
	without: append([]string{"net/http"}, forTests...),
}, {
	path:    "tokenstore/sqlstore", // the drivers are the program's
	own:     []string{"tokenstore", "tokenstore/internal/lease"},
	without: append([]string{"net/http"}, forTests...),
}, {
	path: "tokenstore/storetest",
	own:  []string{"tokenstore"},
}, {
	path:    "transport",
	own:     []string{"tokenstore"},
	outside: []string{"golang.org/x/oauth2", "golang.org/x/sync"},
	without: forTests,
}, {
	path:    "client",
	own:     []string{"tokenstore", "transport"},
	outside: []string{"golang.org/x/oauth2", "github.com/hashicorp/go-retryablehttp", "github.com/go-jose/go-jose/v4"},
	without: forTests,
}, {
	path:    "client/terminal", // apart, so that who needs no QR code links none
	own:     []string{"tokenstore", "transport", "client"},
	outside: []string{"rsc.io/qr"},
	without: forTests,
}, {
	path: "internal/testenv",
}, {
	path: "internal/testserver",
}, {
	path:    "client/clienttest",
	own:     []string{"tokenstore", "transport", "client", "internal/testserver"},
	outside: []string{"golang.org/x/oauth2"},
}, {
	path:    "examples/...", // without internal packages, so that they can be copied
	own:     []string{"tokenstore", "transport", "client", "client/terminal", "client/clienttest"},
	outside: []string{"..."},
}, {
	path: "internal/rules",
}}

// TestImports asks the go tool for what every package imports, its tests aside,
// on each system where the imports differ.
func TestImports(t *testing.T) {
	goFiles(t) // so that go test does not take an old result for this one
	for _, goos := range []string{"linux", "windows", "darwin"} {
		t.Run(goos, func(t *testing.T) {
			packages := list(t, goos)
			for _, path := range slices.Sorted(maps.Keys(packages)) {
				if name, ok := strings.CutPrefix(path, module+"/"); ok {
					check(t, packages, name)
				}
			}
		})
	}
}

// check checks the package of this module with that name.
func check(t *testing.T, packages map[string]listed, name string) {
	i := slices.IndexFunc(layers, func(l layer) bool { return matches(name, l.path) })
	if i < 0 {
		t.Errorf("%s is in no layer: add it to layers in internal/rules, with what it may import", name)
		return
	}
	for _, path := range packages[module+"/"+name].Imports {
		if !layers[i].allows(path, packages[path].Standard) {
			t.Errorf("%s imports %s, which is not below it: see the layout in .github/CONTRIBUTING.md", name, path)
		}
	}
	for _, path := range packages[module+"/"+name].Deps {
		if slices.ContainsFunc(layers[i].without, func(w string) bool { return matches(path, w) }) {
			t.Errorf("%s must do without %s, and reaches it: %s", name, path, way(packages, module+"/"+name, path))
		}
	}
}

// way returns the imports by which a package reaches another.
func way(packages map[string]listed, from, to string) string {
	if from == to {
		return to
	}
	for _, next := range packages[from].Imports {
		if next == to || slices.Contains(packages[next].Deps, to) {
			return from + " → " + way(packages, next, to)
		}
	}
	return from
}

func (l layer) allows(path string, standard bool) bool {
	if name, ok := strings.CutPrefix(path, module+"/"); ok {
		return slices.Contains(l.own, name)
	}
	return standard || slices.ContainsFunc(l.outside, func(m string) bool {
		return m == "..." || matches(path, m) || matches(path, m+"/...")
	})
}

// matches reports whether path is pattern, or below it if that ends with "/...".
func matches(path, pattern string) bool {
	if dir, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(path, dir)
	}
	return path == pattern
}

// A listed is what go list says of a package.
type listed struct {
	ImportPath    string
	Standard      bool
	Imports, Deps []string
}

// list returns the packages of the module and all that they need, by path.
func list(t *testing.T, goos string) map[string]listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	packages := make(map[string]listed)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}
