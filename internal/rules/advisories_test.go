package rules_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/version"
	"maps"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// oldestFixed is the oldest Go in which everything is fixed that was known of
// the packages that Freshet uses when this was written.
const oldestFixed = "go1.26.6"

// An advisory is one that a rule names, and the case of the rule's test that
// would show the like of it here. Without a text the whole test is about it.
type advisory struct{ id, class, rule, text string }

var advisories = []advisory{
	{"CVE-2026-39821", "an xn-- name of ASCII alone is another host", "001", "https://xn--api-.example.com"},
	{"CVE-2023-45289", "a redirect takes credentials to another host", "002", "to another host"},
	{"CVE-2024-45336", "the second hop on the other host gets them back", "002", "on there"},
	{"CVE-2024-6104", "the log shows the password of a URL", "005", "the log has it: %s"},
	{"CVE-2024-47081", "a URL made up to confuse host and user", "005", "@evil.example/"},
	{"CVE-2021-22876", "the password of a URL goes on after a redirect", "005", "by a redirect: got no error"},
	{"CVE-2020-5260", "a line break in a credential from a store", "008", "in the store"},
	{"CVE-2024-53263", "a line break in a credential from a server", "008", "in an answer"},
	{"CVE-2024-45340", "credentials of one server for another", "009", "https://auth.test/%d"},
	{"CVE-2024-53859", "a token of one kind of server for another", "009", "https://auth.test/%d"},
	{"CVE-2024-28110", "credentials on http.DefaultClient", "011", ""},
	{"CVE-2023-32681", "Proxy-Authorization goes to the origin", "012", "the token is inside the tunnel"},
	{"CVE-2025-4673", "Proxy-Authorization and redirects", "012", "Proxy-Authorization"},
	{"CVE-2024-24791", "100-continue spoils the connection", "032", "100-continue"},
	{"CVE-2019-11250", "headers with a token are printed", "033", "sent twice"},
	{"CVE-2019-10214", "certificates are not checked for the token server", "037", "self-signed"},
	{"CVE-2025-22868", "memory spent on taking a token apart", "038", "CVE-2025-22868 a token of a million dots"},
	{"CVE-2021-31525", "a very long header", "038", "huge header"},
	{"CVE-2023-39326", "chunks that are extensions for the most part", "038", "chunk extensions"},
	{"CVE-2023-45288", "headers that go on for ever over HTTP/2", "038", "continuations"},
	{"CVE-2025-61726", "a form of very many members", "038", "many parameters"},
	{"CVE-2026-33814", "HTTP/2 frames of no size", "038", "CVE-2026-33814 frames of no size"},
	{"CVE-2026-27896", "members in another case", "044", `{"Access_Token":"at"}`},
	{"GO-2026-4770", "members with a NUL at the end", "044", `{"access_token\u0000":"at"}`},
	{"CVE-2025-0913", "a dangling symbolic link is opened for writing", "072", "dangling symlink"},
	{"CVE-2025-22873", "a way out of the directory", "072", "record swapped"},
	{"CVE-2025-47907", "a query that is cancelled while it is read", "085", "cancelled queries"},
	{"CVE-2025-6514", "a URL of a server is run by a shell", "095", "javascript:alert(1)"},
	{"CVE-2019-11250", "the fix of one place that prints", "113", "vsqdxXbcoOUeEfFgGtT"},
	{"CVE-2020-8565", "the places that this fix forgot", "113", "slog "},
	{"CVE-2023-45825", "credentials formatted into an error", "113", "because of %v, %+v, %#v, %d"},
	{"GO-2024-2978", "a context is printed", "113", "context"},
	{"CVE-2024-6104", "an error shows a URL", "114", "query-canary"},
	{"CVE-2024-35232", "an error shows the token in a query", "114", "query-canary"},
	{"CVE-2019-11250", "the log has headers with a token", "115", "the log"},
	{"CVE-2020-8565", "it has them still at a lower level", "115", "token-header-canary"},
	{"CVE-2026-55512", "what a server says is remembered without end", "116", "refusals by a server"},
	{"CVE-2026-67437", "what an API says is remembered without end", "116", "rejections by an API"},
}

// The floor is the toolchain line of go.mod, which binds who builds Freshet
// itself. The go line would bind every program that uses it, and which patch of
// Go those take is theirs to decide.
func TestRule120_known_holes_stay_closed(t *testing.T) {
	t.Run("Go has the fixes", func(t *testing.T) {
		m := regexp.MustCompile(`(?m)^toolchain (go\S+)$`).FindStringSubmatch(string(read(t, "go.mod")))
		if m == nil || version.Compare(m[1], oldestFixed) < 0 {
			t.Fatalf("go.mod has no toolchain line with %s or newer: %q", oldestFixed, m)
		}
		running, _, _ := strings.Cut(runtime.Version(), " ")
		if !version.IsValid(running) {
			t.Skipf("%s is a development version of Go", runtime.Version())
		}
		if version.Compare(running, m[1]) < 0 {
			t.Errorf("these tests run with %s, which has known holes: update to %s or newer", running, m[1])
		}
	})
	t.Run("govulncheck runs by itself", func(t *testing.T) {
		workflow := string(read(t, ".github/workflows/vuln.yml"))
		for _, line := range []string{`(?m)^  schedule:$`, `(?m)^      - run: go run golang\.org/x/vuln/cmd/govulncheck@v[0-9.]+ \./\.\.\.$`} {
			if !regexp.MustCompile(line).MatchString(workflow) {
				t.Errorf("vuln.yml has no line %s", line)
			}
		}
	})
	named, tests, cases := namedAdvisories(t), ruleTests(t), testTexts(t)
	for _, a := range advisories {
		t.Run(a.id+" "+a.class, func(t *testing.T) {
			at := tests[a.rule]
			if len(at) != 1 || !slices.Contains(named[a.id], a.rule) {
				t.Fatalf("rule %s does not name it, or has no test", a.rule)
			}
			file, _, _ := strings.Cut(at[0], ":")
			if a.text != "" && !cases[path.Dir(file)][a.text] {
				t.Errorf("the tests of %s have no case %q any more", path.Dir(file), a.text)
			}
		})
	}
	for _, id := range slices.Sorted(maps.Keys(named)) {
		for _, rule := range named[id] {
			if !slices.ContainsFunc(advisories, func(a advisory) bool { return a.id == id && a.rule == rule }) {
				t.Errorf("rule %s names %s: say in advisories which case of its test is about that", rule, id)
			}
		}
	}
}

// namedAdvisories returns the rules that name each advisory.
func namedAdvisories(t *testing.T) map[string][]string {
	named := make(map[string][]string)
	for paragraph := range strings.SplitSeq(string(read(t, rulesFile)), "\n\n") {
		m := rule.FindStringSubmatch(strings.TrimSpace(paragraph))
		for _, id := range regexp.MustCompile(`\b(?:CVE|GO)-\d{4}-\d+`).FindAllString(paragraph, -1) {
			if m == nil {
				t.Errorf("%s names %s where there is no rule", rulesFile, id)
				continue
			}
			named[id] = append(named[id], m[1])
		}
	}
	return named
}

// testTexts returns the strings in the tests of each directory.
func testTexts(t *testing.T) map[string]map[string]bool {
	texts := make(map[string]map[string]bool)
	for _, name := range goFiles(t) {
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, read(t, name), parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		in := texts[path.Dir(name)]
		if in == nil {
			in = make(map[string]bool)
			texts[path.Dir(name)] = in
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, _ := strconv.Unquote(lit.Value)
				in[text] = true
			}
			return true
		})
	}
	return texts
}
