package transport

import (
	"fmt"
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	for b := range 256 {
		want := "?"
		if strings.ContainsRune(" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~", rune(b)) {
			want = string(rune(b))
		}
		if got := printable(string([]byte{byte(b)})); got != want {
			t.Errorf("%#x is printed as %q, want %q", b, got, want)
		}
	}
	long := strings.Repeat("x", maxPrinted)
	if got := printable(long); got != long {
		t.Errorf("%d bytes are printed as %d", len(long), len(got))
	}
	if got := printable(long + "y"); got != long+"..." {
		t.Errorf("one more is printed as %q", got)
	}
	if got := fmt.Sprint(Challenge{Scheme: "Basic"}); got != "Basic" {
		t.Errorf("a Challenge is printed as %q", got)
	}
}

// The characters of a token, one by one (RFC 9110 §5.6.2 and §11.2).
func TestTokenCharacters(t *testing.T) {
	const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for b := range 256 {
		c, is := byte(b), func(set string) bool { return strings.IndexByte(set, byte(b)) >= 0 }
		if isAlphanumeric(c) != is(alphanumeric) || isTokenChar(c) != is(alphanumeric+"!#$%&'*+-.^_`|~") || isToken68Char(c) != is(alphanumeric+"-._~+/") {
			t.Errorf("%#x is taken for what it is not", b)
		}
		_, ok := parseChallenges([]string{`Bearer a="` + string([]byte{c}) + `b"`})
		if want := c == '\t' || c >= ' ' && c != 0x7f; c != '"' && ok != want {
			t.Errorf("%#x in a quoted-string: readable %t, want %t", b, ok, want)
		}
	}
}

// What is read is bounded: bytes, challenges, and parameters of each.
func TestChallengeBounds(t *testing.T) {
	bytes := func(n int) string { return "Bearer " + strings.Repeat(" ", n-len("Bearer ")) }
	challenges := func(n int) string { return strings.TrimSuffix(strings.Repeat("Basic,", n), ",") }
	params := func(n int) string { return "Bearer " + strings.TrimSuffix(strings.Repeat("a=b,", n), ",") }
	for name, test := range map[string]struct {
		lines []string
		want  bool
	}{
		"most bytes":       {[]string{bytes(maxChallengeBytes)}, true},
		"more bytes":       {[]string{bytes(maxChallengeBytes + 1)}, false},
		"in two lines":     {[]string{bytes(maxChallengeBytes - 100), bytes(101)}, false},
		"most challenges":  {[]string{challenges(maxChallenges)}, true},
		"more challenges":  {[]string{challenges(maxChallenges + 1)}, false},
		"most parameters":  {[]string{params(maxParams)}, true},
		"more parameters":  {[]string{params(maxParams + 1)}, false},
		"no name":          {[]string{"Bearer a=b, =c"}, false},
		"no value":         {[]string{"Bearer a=, b=c"}, false},
		"scheme cut short": {[]string{"Bearer/abc"}, false},
		"nothing a scheme": {[]string{"Bearer \x01"}, false},
	} {
		if _, ok := parseChallenges(test.lines); ok != test.want {
			t.Errorf("%s: readable %t, want %t", name, ok, test.want)
		}
	}
}
