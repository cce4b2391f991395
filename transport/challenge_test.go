package transport

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// answer is a response with that status and those lines of WWW-Authenticate.
func answer(status int, lines ...string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Www-Authenticate": lines}}
}

// write is the text of a challenge, from which the same one can be read. Values
// are quoted, with as few backslashes as can be.
func write(c Challenge) string {
	text := c.Scheme
	if c.Token68 != "" {
		text += " " + c.Token68
	}
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for i, p := range c.params {
		text += ","[:min(i, 1)] + " " + p.name + `="` + escape.Replace(p.value) + `"`
	}
	return text
}

func writeAll(list []Challenge) string {
	var texts []string
	for _, c := range list {
		texts = append(texts, write(c))
	}
	return strings.Join(texts, ", ")
}

var challengeTests = []struct {
	name  string
	lines []string
	want  string // as writeAll has it
	bad   bool   // something can't be read
}{
	{"none", nil, "", false},
	{"an empty line", []string{""}, "", false},
	{"only commas", []string{" ,\t, ,"}, "", false},
	{"a scheme", []string{"Bearer"}, "Bearer", false},
	{"a parameter", []string{`Bearer realm="example"`}, `Bearer realm="example"`, false},
	{"an unquoted value", []string{`Bearer error=invalid_token`}, `Bearer error="invalid_token"`, false},
	{"an empty value", []string{`Bearer realm=""`}, `Bearer realm=""`, false},
	{"no value is a token68", []string{`Bearer realm=`}, `Bearer realm=`, false},
	{"two challenges", []string{`Basic realm="a", Bearer realm="b"`}, `Basic realm="a", Bearer realm="b"`, false},
	{"two lines", []string{`Basic realm="a"`, `Bearer realm="b"`}, `Basic realm="a", Bearer realm="b"`, false},
	{"two schemes alone", []string{"Negotiate, NTLM"}, "Negotiate, NTLM", false},
	{"a scheme, then one with a parameter", []string{`Bearer, DPoP algs="ES256"`}, `Bearer, DPoP algs="ES256"`, false},
	{"two parameters, then a scheme", []string{`Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple"`},
		`Newauth realm="apps", type="1", title="Login to \"apps\"", Basic realm="simple"`, false},
	{"a comma after the scheme", []string{`Bearer, error="invalid_token"`}, `Bearer error="invalid_token"`, false},
	{"commas and equals signs in quotes", []string{`Bearer realm="a, Basic b=c", x="y"`}, `Bearer realm="a, Basic b=c", x="y"`, false},
	{"escapes", []string{`Bearer realm="\a\"\\\,"`}, `Bearer realm="a\"\\,"`, false},
	{"whitespace around =", []string{"Bearer realm \t=  \"a\",error\t=\tb"}, `Bearer realm="a", error="b"`, false},
	{"whitespace around commas", []string{"\t Bearer \t realm=a ,\t, x=y \t"}, `Bearer realm="a", x="y"`, false},
	{"empty elements", []string{`,,Basic realm="a",,, ,Bearer,,`}, `Basic realm="a", Bearer`, false},
	{"a token68", []string{"Negotiate YIIJ/+-._~x=="}, "Negotiate YIIJ/+-._~x==", false},
	{"a token68 without padding", []string{"Negotiate oYG2"}, "Negotiate oYG2", false},
	{"a token68, then a challenge", []string{`Negotiate oYG2=, Bearer x=y`}, `Negotiate oYG2=, Bearer x="y"`, false},
	{"unusual names", []string{"!#$%&'*+-.^_`|~ a!=b~"}, "!#$%&'*+-.^_`|~ a!=\"b~\"", false},
	{"other alphabets in quotes", []string{"Bearer realm=\"\xc3\xa9\xff\t\""}, "Bearer realm=\"\xc3\xa9\xff\t\"", false},
	{"the same parameter twice", []string{`Bearer a=1, a=2`}, `Bearer a="1", a="2"`, false},

	{"an open quote", []string{`Bearer realm="a`}, "", true},
	{"an open quote after an escape", []string{`Bearer realm="a\"`}, "", true},
	{"a backslash at the end", []string{`Bearer realm="a\`}, "", true},
	{"a quote in quotes", []string{`Bearer error="invalid_token", error_description="no "aud" here"`}, "", true},
	{"a control character", []string{"Bearer realm=\"a\x00b\""}, "", true},
	{"an escaped control character", []string{"Bearer realm=\"a\\\x01b\""}, "", true},
	{"a line end", []string{"Bearer realm=\"a\r\nb\""}, "", true},
	{"no comma between parameters", []string{`Bearer realm="a" error="b"`}, "", true},
	{"a value of two words", []string{`Basic realm=my home`}, "", true},
	{"a value that is a URL", []string{`Bearer realm=https://a/b`}, "", true},
	{"strings without names", []string{`OAuth "Platform" "invalid_token" "The token has expired."`}, "", true},
	{"a parameter after a token68", []string{`Negotiate oYG2=, a=b`}, "", true},
	{"a parameter without a scheme", []string{`error="invalid_token"`}, "", true},
	{"a parameter without a scheme on a line of its own", []string{"Bearer", `error="invalid_token"`}, "Bearer", true},
	{"no scheme", []string{`="a"`}, "", true},
	{"the challenges before an error stay", []string{`Basic realm="a", Bearer error=@`}, `Basic realm="a"`, true},
	{"the challenges after an error in a line don't", []string{`Bearer error=@, Basic realm="a"`}, "", true},
	{"the next line does", []string{`Bearer error=@`, `Basic realm="a"`}, `Basic realm="a"`, true},
	{"not ASCII", []string{"B\xc3\xa9arer", "Bearer realm=\xc3\xa9"}, "", true},
}

func TestChallenges(t *testing.T) {
	for _, test := range challengeTests {
		t.Run(test.name, func(t *testing.T) {
			list, readable := parseChallenges(test.lines)
			if got := writeAll(list); got != test.want || readable == test.bad {
				t.Errorf("%q: got %q, readable %t; want %q, %t", test.lines, got, readable, test.want, !test.bad)
			}
		})
	}
}

// A server can't make the parser read or keep more than these.
func TestChallenges_bounds(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  int // challenges
	}{
		{"bytes", []string{"Basic", `Bearer realm="` + strings.Repeat("x", maxChallengeBytes) + `"`, "Basic"}, 1},
		{"bytes of all lines", slices.Repeat([]string{"Basic" + strings.Repeat(" ", maxChallengeBytes/4)}, 5), 3},
		{"challenges", []string{strings.Repeat("Basic,", maxChallenges+1)}, maxChallenges},
		{"challenges of all lines", slices.Repeat([]string{"Basic"}, maxChallenges+1), maxChallenges},
		{"parameters", []string{"Basic, Bearer " + strings.Repeat("a=b,", maxParams+1)}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			list, readable := parseChallenges(test.lines)
			if len(list) != test.want || readable {
				t.Errorf("got %d challenges, readable %t; want %d, and not", len(list), readable, test.want)
			}
		})
	}
}

// Names are found in any case, values of names that are there twice are not.
func TestChallenge_Param(t *testing.T) {
	tests := []struct{ name, line, param, want string }{
		{"a name in another case", `bEARER ERROR="invalid_token"`, "error", "invalid_token"},
		{"a name asked for in another case", `Bearer scope="a b"`, "Scope", "a b"},
		{"one that is not there", `Bearer realm="a"`, "error", ""},
		{"one that is there twice", `Bearer error="a", error="b"`, "error", ""},
		{"twice, in two cases", `Bearer error="a", x=y, ERROR="b"`, "error", ""},
		{"three times", `Bearer error=a, error=b, error=c`, "error", ""},
		{"beside one that is there twice", `Bearer a=1, a=2, error=b`, "error", "b"},
		{"a comma in quotes", `Bearer realm="a, error=b", error="c"`, "error", "c"},
		{"an escape", `Bearer error="invalid\_token"`, "error", "invalid_token"},
		{"whitespace around =", "Bearer error \t= \"a\"", "error", "a"},
		{"empty elements", `, Bearer ,, error="a" ,`, "error", "a"},
		{"of the second challenge", `Negotiate oYG2=, Bearer error="a"`, "error", "a"},
		{"of one that can't be read", `Bearer error="invalid_token`, "error", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			for _, c := range Challenges(answer(http.StatusUnauthorized, test.line)) {
				if strings.EqualFold(c.Scheme, "Bearer") {
					got = c.Param(test.param)
				}
			}
			if got != test.want {
				t.Errorf("%s of %s: got %q, want %q", test.param, test.line, got, test.want)
			}
		})
	}
	t.Run("no response", func(t *testing.T) {
		if got := Challenges(nil); got != nil {
			t.Errorf("got %v", got)
		}
	})
}

// What a server wrote does no harm to a terminal, whatever verb prints it.
func TestChallenge_printing(t *testing.T) {
	line := "Bearer realm=\"\x9b31m\xe2\x80\xaeevil\t\\\"\", x=\"" + strings.Repeat("y", 1000) + "\""
	list := Challenges(answer(http.StatusForbidden, line, "Negotiate c2VjcmV0"))
	if len(list) != 2 {
		t.Fatalf("got %d challenges, want 2", len(list))
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		text := fmt.Sprintf(verb, list)
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%s prints %q", verb, text)
		}
		if strings.Contains(text, "c2VjcmV0") || len(text) > 500 {
			t.Errorf("%s prints too much: %s", verb, text)
		}
	}
	want := `Bearer realm="?31m???evil?\"", x="` + strings.Repeat("y", maxPrinted) + `..."`
	if got := list[0].String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	many := Challenges(answer(http.StatusForbidden, "Bearer"+strings.Repeat(` a="`+strings.Repeat("y", 300)+`",`, maxParams)))
	if text := fmt.Sprint(many); len(many) != 1 || len(text) > maxPrintedAll+maxPrinted+100 || !strings.HasSuffix(text, ", ...]") {
		t.Errorf("a challenge of many parameters is printed as %s", text)
	}
	if got, want := list[1].LogValue().String(), "Negotiate (8 bytes)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The same grammar once more, in another way: elements cut out with one regular
// expression, and told apart with others.
var (
	reToken   = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
	reQuoted  = `"(?:[^\x00-\x08\x0a-\x1f"\\\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*"`
	reParam   = `(` + reToken + `)[ \t]*=[ \t]*(` + reToken + `|` + reQuoted + `)`
	reElement = regexp.MustCompile(`(?s)^((?:[^",]|` + reQuoted + `)*)(?:,(.*))?$`)
	reMore    = regexp.MustCompile(`(?s)^` + reParam + `$`)
	reBegin   = regexp.MustCompile(`(?s)^(` + reToken + `)(?:[ \t]+(?:` + reParam + `|([A-Za-z0-9\-._~+/]+=*)))?$`)
	reEscape  = regexp.MustCompile(`(?s)\\(.)`)
)

func reValue(text string) string {
	if inner, quoted := strings.CutPrefix(text, `"`); quoted {
		return reEscape.ReplaceAllString(inner[:len(inner)-1], "$1")
	}
	return text
}

// referenceParse is parseChallenges for one line without the bounds. Where it
// stops at an error it returns the last challenge too, which may lack something.
func referenceParse(line string) (list []Challenge, readable bool) {
	for rest := line; rest != ""; {
		cut := reElement.FindStringSubmatch(rest)
		element := rest
		if rest = ""; cut != nil {
			element, rest = cut[1], cut[2]
		}
		element = strings.Trim(element, " \t")
		last := len(list) - 1
		if m := reMore.FindStringSubmatch(element); m != nil && last >= 0 && list[last].Token68 == "" {
			list[last].params = append(list[last].params, param{m[1], reValue(m[2])})
		} else if m := reBegin.FindStringSubmatch(element); m != nil {
			c := Challenge{Scheme: m[1], Token68: m[4]}
			if m[2] != "" {
				c.params = []param{{m[2], reValue(m[3])}}
			}
			list = append(list, c)
		} else if element != "" {
			return list, false
		}
	}
	return list, true
}

func FuzzChallenges(f *testing.F) {
	for _, test := range challengeTests {
		f.Add(strings.Join(test.lines, ","))
	}
	f.Add(strings.Repeat(`Basic a="`, 99))
	f.Add(strings.Repeat("Basic a=b,", maxChallenges) + "x")
	f.Fuzz(func(t *testing.T, line string) {
		start := time.Now()
		list, readable := parseChallenges([]string{line})
		for _, c := range list {
			_, _ = c.Param("error"), c.String()
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("%d bytes took %s", len(line), d)
		}
		if len(line) > 1<<10 || strings.Count(line, ",") >= maxChallenges {
			return // the reference is slow, and has no bounds
		}
		want, wantReadable := referenceParse(line)
		if !wantReadable && len(want) > len(list) {
			want = want[:len(want)-1]
		}
		if !slices.EqualFunc(list, want, same) || readable != wantReadable {
			t.Errorf("%q\n got %q, %t\nwant %q, %t", line, writeAll(list), readable, writeAll(want), wantReadable)
		}
		again, ok := parseChallenges([]string{writeAll(list)})
		if !ok || writeAll(again) != writeAll(list) || !slices.EqualFunc(list, again, same) {
			t.Errorf("%q\nwas written as %q\nand read as    %q", line, writeAll(list), writeAll(again))
		}
	})
}

func same(a, b Challenge) bool {
	return a.Scheme == b.Scheme && a.Token68 == b.Token68 && slices.Equal(a.params, b.params)
}
