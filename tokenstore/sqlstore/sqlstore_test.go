package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
	"time"
)

// The statements in the comment on Dialect, which programs copy, are those that
// CreateTable runs.
func TestDialect_comment(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "dialect.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var comment string
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE && g.Specs[0].(*ast.TypeSpec).Name.Name == "Dialect" {
			comment = g.Doc.Text()
		}
	}
	for _, d := range []Dialect{PostgreSQL, MySQL, SQLite} {
		want := "\t" + strings.ReplaceAll(statementsOf(d, "freshet_sessions").create, "\n", "\n\t")
		if !strings.Contains(comment, want) {
			t.Errorf("the comment on Dialect does not have:\n%s", want)
		}
	}
}

// noDriver is a driver that can't connect.
type noDriver struct{}

func (noDriver) Connect(context.Context) (driver.Conn, error) { return nil, errors.New("no server") }
func (noDriver) Driver() driver.Driver                        { return nil }

func TestNew(t *testing.T) {
	db := sql.OpenDB(noDriver{})
	defer db.Close()
	for name, test := range map[string]struct {
		cfg   Config
		wrong []string
	}{
		"nothing":   {Config{}, []string{"DB is nil", "Dialect is unknown"}},
		"dialect":   {Config{DB: db, Dialect: 9}, []string{"Dialect(9)"}},
		"durations": {Config{DB: db, Dialect: SQLite, Lease: -1, Settle: -1}, []string{"Lease is -1ns"}},
		"settle":    {Config{DB: db, Dialect: SQLite, Settle: -1}, []string{"Settle is -1ns"}},
		"table":     {Config{DB: db, Dialect: SQLite, Table: "a b"}, []string{`Table is "a b"`}},
	} {
		_, err := New(test.cfg)
		for _, text := range test.wrong {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: error %v does not say %q", name, err, text)
			}
		}
	}
	s, err := New(Config{DB: db, Dialect: SQLite, Lease: time.Minute, Settle: time.Second})
	if err != nil || s.leases.Length != time.Minute || s.leases.Settle != time.Second {
		t.Errorf("Lease %v, Settle %v (%v)", s.leases.Length, s.leases.Settle, err)
	}
}

func TestStore_without_its_database(t *testing.T) {
	db := sql.OpenDB(noDriver{})
	defer db.Close()
	for _, d := range []Dialect{PostgreSQL, MySQL, SQLite} {
		s, err := New(Config{DB: db, Dialect: d})
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		next := func(context.Context, []byte) ([]byte, error) { t.Error("next was called"); return nil, nil }
		_, loadErr := s.Load(ctx, "key")
		var keysErr error
		for _, keysErr = range s.Keys(ctx) {
		}
		for what, err := range map[string]error{"Load": loadErr, "Keys": keysErr, "Update": s.Update(ctx, "key", next), "Delete": s.Delete(ctx, "key"), "CreateTable": s.CreateTable(ctx)} {
			if err == nil || !strings.Contains(err.Error(), "no server") {
				t.Errorf("%s: %s = %v", d, what, err)
			}
		}
	}
}
