package rules_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fuzzTargets are the funcs that parse what others wrote, by package, each with
// the fuzz target that gives it anything at all.
var fuzzTargets = map[string]map[string]string{
	"client": {
		"readAnswer": "FuzzAnswer", "readMembers": "FuzzAnswer", "readJSON": "FuzzAnswer", "record": "FuzzAnswer", "scope": "FuzzAnswer",
		"readForm": "FuzzForm", "serverError": "FuzzServerError", "clean": "FuzzServerError",
		"ParsePrivateKey": "FuzzParsePrivateKey", "readPEM": "FuzzParsePrivateKey", "readJWK": "FuzzParsePrivateKey", "parseDER": "FuzzParsePrivateKey",
		"readMetadata": "FuzzMetadata", "readResource": "FuzzResource", "claimsIn": "FuzzClaims", "mediaTypeOf": "FuzzMediaType", "lifetime": "FuzzLifetime", "retryAfter": "FuzzRetryAfter",
	},
	"transport": {
		"parseChallenges": "FuzzChallenges",
		"parseOrigin":     "FuzzOrigin", "parseOrigins": "FuzzOrigin", "originOf": "FuzzOrigin",
	},
	"tokenstore": {
		"DecodeRecord": "FuzzDecodeRecord", "versionOf": "FuzzDecodeRecord",
		"open": "FuzzOpen", "ParseSealKey": "FuzzParseSealKey",
		"baseName": "FuzzBaseName", "spelledKey": "FuzzSpelledKey", "noteOf": "FuzzNote", "readNote": "FuzzNote",
	},
}

// likeParser is how a parser is named. notParsers are named so and read bytes
// without a look at what they say.
var (
	likeParser = regexp.MustCompile(`^(parse|Parse|decode|Decode|read[A-Z])`)
	notParsers = map[string][]string{
		"transport":  {"readAhead", "decode"}, // decode is DecodeRecord, or none
		"tokenstore": {"readRecord"},          // the file as it is
	}
)

func TestRule118_every_parser_has_a_fuzz_target_and_a_corpus(t *testing.T) {
	for pkg, targets := range fuzzTargets {
		t.Run(pkg, func(t *testing.T) {
			parsers, tests := funcsOf(t, pkg, false), funcsOf(t, pkg, true)
			for name, target := range targets {
				if parsers[name] == nil {
					t.Errorf("%s has no func %s any more, which %s is for", pkg, name, target)
				}
				if tests[target] == nil {
					t.Errorf("%s.%s has no target: write func %s", pkg, name, target)
				}
			}
			for name := range parsers {
				if likeParser.MatchString(name) && targets[name] == "" && !slices.Contains(notParsers[pkg], name) {
					t.Errorf("%s.%s is named like a parser: name its target in fuzzTargets", pkg, name)
				}
			}
		})
	}
	t.Run("corpora", func(t *testing.T) {
		for _, pkg := range testedPackages(t) {
			tests := funcsOf(t, pkg, true)
			for name, fn := range tests {
				if !strings.HasPrefix(name, "Fuzz") {
					continue
				}
				checkCorpus(t, pkg, name)
				if !fails(fn, tests) {
					t.Errorf("%s in %s calls nothing that fails: a target has properties", name, pkg)
				}
				if !slices.Contains(targetsOf(pkg), name) {
					t.Errorf("%s in %s is in fuzzTargets for no parser", name, pkg)
				}
			}
			corpora, _ := filepath.Glob(filepath.Join(root, pkg, "testdata/fuzz/*"))
			for _, dir := range corpora {
				if tests[filepath.Base(dir)] == nil {
					t.Errorf("%s is a corpus without a target", dir)
				}
			}
		}
	})
}

// checkCorpus checks that inputs for a target are committed, in the format of go
// test: a line with the version, and then one for each argument.
func checkCorpus(t *testing.T, pkg, target string) {
	inputs, _ := filepath.Glob(filepath.Join(root, pkg, "testdata/fuzz", target, "*"))
	if len(inputs) == 0 {
		t.Errorf("%s in %s has no corpus: testdata/fuzz/%s", target, pkg, target)
	}
	for _, input := range inputs {
		b, err := os.ReadFile(input)
		if err != nil || !bytes.HasPrefix(b, []byte("go test fuzz v1\n")) {
			t.Errorf("%s is no input of go test, %v", input, err)
		}
	}
}

func targetsOf(pkg string) (names []string) {
	for _, target := range fuzzTargets[pkg] {
		names = append(names, target)
	}
	return names
}

// testedPackages returns the directories that have tests.
func testedPackages(t *testing.T) (dirs []string) {
	for _, file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") {
			dirs = append(dirs, path.Dir(file))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// funcsOf returns the funcs and methods of a directory by name: those of its tests,
// or the others.
func funcsOf(t *testing.T, dir string, tests bool) map[string]*ast.FuncDecl {
	funcs := make(map[string]*ast.FuncDecl)
	for _, file := range goFiles(t) {
		if path.Dir(file) != dir || strings.HasSuffix(file, "_test.go") != tests {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, read(t, file), parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				funcs[fn.Name.Name] = fn
			}
		}
	}
	return funcs
}

// fails reports whether fn can fail by itself, or hands on to one of funcs that can.
func fails(fn *ast.FuncDecl, funcs map[string]*ast.FuncDecl) (found bool) {
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			found = found || ok && x.Name == "t" && slices.Contains([]string{"Error", "Errorf", "Fatalf"}, n.Sel.Name)
		case *ast.Ident:
			found = found || funcs[n.Name] != nil && fails(funcs[n.Name], nil)
		}
		return !found
	})
	return found
}
