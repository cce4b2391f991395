package storetests_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"testing"
)

// TestTableIsTheExample shows that what is tested here is what people copy.
func TestTableIsTheExample(t *testing.T) {
	example := declarations(t, "../../tokenstore/example_sql_test.go", "Example")
	table := declarations(t, "table_test.go", "")
	if len(example) == 0 || len(example) != len(table) {
		t.Fatalf("table_test.go has %d declarations, and the example of package tokenstore has %d", len(table), len(example))
	}
	for i := range example {
		if table[i] != example[i] {
			t.Errorf("table_test.go says\n%s\nand the example of package tokenstore\n%s", table[i], example[i])
		}
	}
}

// declarations returns those in a file, with their comments, but for imports and
// the function except.
func declarations(t *testing.T, path, except string) (all []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, b, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		from := decl.Pos()
		var doc *ast.CommentGroup
		switch d := decl.(type) {
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue
			}
			doc = d.Doc
		case *ast.FuncDecl:
			if d.Name.Name == except {
				continue
			}
			doc = d.Doc
		}
		if doc != nil {
			from = doc.Pos()
		}
		all = append(all, string(b[fset.Position(from).Offset:fset.Position(decl.End()).Offset]))
	}
	return all
}
