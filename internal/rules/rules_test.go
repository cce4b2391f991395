package rules_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const rulesFile = ".github/RULES.md"

var (
	// A rule is a paragraph that begins with its number and ends with its source.
	rule = regexp.MustCompile(`^\*\*(\d{3})\*\* (?s:.+) ?\*[^*]+\*$`)

	ruleTest = regexp.MustCompile(`^TestRule(\d{3})_[A-Za-z]\w*$`)

	// What was meant to be one of the two.
	likeRule     = regexp.MustCompile(`^\*\*\d`)
	likeRuleTest = regexp.MustCompile(`^TestRule_?\d`)
)

// TestRulesHaveTests compares the rules that are written with the tests that are
// named after one: each has exactly one.
func TestRulesHaveTests(t *testing.T) {
	rules, tests := writtenRules(t), ruleTests(t)
	for _, n := range rules {
		switch at := tests[n]; len(at) {
		case 0:
			t.Errorf("rule %s of %s has no test: write func TestRule%[1]s_words", n, rulesFile)
		case 1:
		default:
			t.Errorf("rule %s has %d tests, and one is enough, with subtests:\n\t%s", n, len(at), strings.Join(at, "\n\t"))
		}
	}
	for _, n := range slices.Sorted(maps.Keys(tests)) {
		if !slices.Contains(rules, n) {
			t.Errorf("%s has no rule %s, which these tests are named after:\n\t%s", rulesFile, n, strings.Join(tests[n], "\n\t"))
		}
	}
}

// writtenRules returns the numbers in rulesFile, which are in order.
func writtenRules(t *testing.T) []string {
	text := strings.ReplaceAll(string(read(t, rulesFile)), "\r\n", "\n")
	numbers := []string{"000"}
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		paragraph = strings.TrimSpace(paragraph)
		if !likeRule.MatchString(paragraph) {
			continue
		}
		m := rule.FindStringSubmatch(paragraph)
		if m == nil {
			t.Errorf("%s: a rule is written **013** text *source*, and this is not:\n%s", rulesFile, paragraph)
			continue
		}
		if last := numbers[len(numbers)-1]; m[1] <= last {
			t.Errorf("%s: rule %s comes after rule %s", rulesFile, m[1], last)
		}
		numbers = append(numbers, m[1])
	}
	if len(numbers) == 1 {
		t.Fatalf("%s has no rule in it", rulesFile)
	}
	return numbers[1:]
}

// ruleTests returns the tests of each number, as file:line: name.
func ruleTests(t *testing.T) map[string][]string {
	tests := make(map[string][]string)
	for _, path := range goFiles(t) {
		if !strings.HasSuffix(path, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, read(t, path), parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !likeRuleTest.MatchString(fn.Name.Name) {
				continue
			}
			at := fmt.Sprintf("%v: %s", fset.Position(fn.Pos()), fn.Name.Name)
			m := ruleTest.FindStringSubmatch(fn.Name.Name)
			if m == nil {
				t.Errorf("%s: a rule's test is named TestRule013_words", at)
				continue
			}
			tests[m[1]] = append(tests[m[1]], at)
		}
	}
	return tests
}
