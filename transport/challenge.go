package transport

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// A Challenge is what a server says about the credentials that it wants: one
// challenge of a WWW-Authenticate field (RFC 9110 §11.3). All of it is the
// server's text, and only as true as the server: a URL in it is no place to
// send a token to. Printing a Challenge shows no control characters and no
// token68.
//
// The zero value is no challenge. A Challenge never changes and may be used at
// once by many.
type Challenge struct {
	// Scheme is the authentication scheme as the server wrote it. Schemes are
	// case-insensitive: compare with [strings.EqualFold].
	Scheme string

	// Token68 is what some schemes have instead of parameters (RFC 9110
	// §11.2): the answer of a Negotiate exchange, for one. Mostly empty.
	Token68 string

	params []param
}

// A param is one parameter of a challenge, its value unquoted.
type param struct{ name, value string }

// Challenges returns the challenges of resp, a response of any status, in the
// order in which the server wrote them. What can't be read is left out.
//
// An API that wants a wider scope says so with insufficient_scope and scope
// (RFC 6750 §3.1); one that wants a newer or a stronger login, with
// insufficient_user_authentication, acr_values and max_age (RFC 9470 §3).
// Another token of the same session helps with neither, so a [Transport]
// returns these answers as they are.
func Challenges(resp *http.Response) []Challenge {
	if resp == nil {
		return nil
	}
	list, _ := parseChallenges(resp.Header["Www-Authenticate"])
	return list
}

// Param returns the value of the parameter with that name in any case, and ""
// where there is none. A parameter may be there only once (RFC 9110 §11.2): of
// one that is there twice, nobody knows which is meant, and it counts as absent.
func (c Challenge) Param(name string) string {
	value, found := "", false
	for _, p := range c.params {
		if !strings.EqualFold(p.name, name) {
			continue
		}
		if found {
			return ""
		}
		value, found = p.value, true
	}
	return value
}

// String describes the challenge in one line of printable ASCII.
func (c Challenge) String() string {
	var b strings.Builder
	b.WriteString(printable(c.Scheme))
	if c.Token68 != "" {
		fmt.Fprintf(&b, " (%d bytes)", len(c.Token68))
	}
	for i, p := range c.params {
		if i > 0 {
			b.WriteByte(',')
		}
		if b.Len() > maxPrintedAll {
			b.WriteString(" ...")
			break
		}
		fmt.Fprintf(&b, " %s=%q", printable(p.name), printable(p.value))
	}
	return b.String()
}

// Format prints what [Challenge.String] returns, for every verb.
func (c Challenge) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// LogValue is what slog handlers print.
func (c Challenge) LogValue() slog.Value { return slog.StringValue(c.String()) }

const (
	maxPrinted    = 256     // bytes of one text of the server's that are shown
	maxPrintedAll = 1 << 10 // after so many, no parameter of a challenge is
)

// printable returns text, a server's, as it may be shown on a terminal: cut, and
// with a question mark for every byte that is not printable ASCII.
func printable(text string) string {
	tail := ""
	if len(text) > maxPrinted {
		text, tail = text[:maxPrinted], "..."
	}
	shown := []byte(text)
	for i, c := range shown {
		if c < ' ' || c > '~' {
			shown[i] = '?'
		}
	}
	return string(shown) + tail
}

// How much of what a server says in WWW-Authenticate is read.
const (
	maxChallengeBytes = 64 << 10 // in all lines
	maxChallenges     = 32
	maxParams         = 64 // of one challenge
)

// parseChallenges parses the lines of a WWW-Authenticate field. It reports
// whether all of them could be read; what comes after an error in a line is not,
// since a quotation mark too many turns the rest of a line inside out.
func parseChallenges(lines []string) (list []Challenge, readable bool) {
	readable = true
	left := maxChallengeBytes
	for _, line := range lines {
		if left -= len(line); left < 0 {
			return list, false
		}
		p := challengeParser{rest: line, list: list}
		if !p.line() {
			readable = false
		}
		list = p.list
	}
	return list, readable
}

// A challengeParser reads one line: the list
//
//	#( auth-scheme [ 1*SP ( token68 / #auth-param ) ] )
//
// of RFC 9110 §11.6.1, in which a comma separates challenges as well as the
// parameters of one, and elements may be empty (§5.6.1.2).
type challengeParser struct {
	rest string
	list []Challenge
	last *Challenge // being read, not in list yet
}

func (p *challengeParser) line() bool {
	for {
		p.skip(" \t,")
		if p.rest == "" {
			return p.finish()
		}
		if !p.element() {
			return false
		}
		if p.skip(" \t"); p.rest != "" && p.rest[0] != ',' {
			return false
		}
	}
}

// finish puts the challenge that was read into the list.
func (p *challengeParser) finish() bool {
	if p.last == nil {
		return true
	}
	if len(p.list) == maxChallenges {
		return false
	}
	p.list = append(p.list, *p.last)
	p.last = nil
	return true
}

// element reads what stands between two commas: a parameter of the challenge
// that is being read, or the beginning of the next challenge.
func (p *challengeParser) element() bool {
	name := p.take(isTokenChar)
	if name == "" {
		return false
	}
	if p.equals() {
		return p.last != nil && p.last.Token68 == "" && p.param(name)
	}
	if !p.finish() {
		return false
	}
	p.last = &Challenge{Scheme: name}
	if p.skip(" \t") == 0 || p.rest == "" || p.rest[0] == ',' {
		return true
	}
	return p.firstParam() || p.token68()
}

// firstParam reads the parameter after the scheme. It reports false, and has
// read nothing, if a token68 is there: "abc=" is one, "abc=d" a parameter.
func (p *challengeParser) firstParam() bool {
	before := p.rest
	name := p.take(isTokenChar)
	if name != "" && p.equals() && p.param(name) {
		return true
	}
	p.rest = before
	return false
}

// param reads the value of a parameter: a token or a quoted-string.
func (p *challengeParser) param(name string) bool {
	value, ok := p.quoted()
	if !ok {
		value = p.take(isTokenChar)
		ok = value != ""
	}
	if !ok || len(p.last.params) == maxParams {
		return false
	}
	p.last.params = append(p.last.params, param{name, value})
	return true
}

// token68 reads 1*( ALPHA / DIGIT / "-._~+/" ) *"=" (RFC 9110 §11.2).
func (p *challengeParser) token68() bool {
	before := p.rest
	if p.take(isToken68Char) == "" {
		return false
	}
	p.skip("=")
	p.last.Token68 = before[:len(before)-len(p.rest)]
	return true
}

// equals reads the equals sign of a parameter and the whitespace around it, which
// is allowed for the sake of bad senders (BWS, RFC 9110 §5.6.3).
func (p *challengeParser) equals() bool {
	after, ok := strings.CutPrefix(strings.TrimLeft(p.rest, " \t"), "=")
	if ok {
		p.rest = strings.TrimLeft(after, " \t")
	}
	return ok
}

// quoted reads a quoted-string (RFC 9110 §5.6.4) and returns what it means.
func (p *challengeParser) quoted() (string, bool) {
	if p.rest == "" || p.rest[0] != '"' {
		return "", false
	}
	var text []byte
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		if c == '"' {
			p.rest = p.rest[i+1:]
			return string(text), true
		}
		if c == '\\' && i+1 < len(p.rest) {
			i++
			c = p.rest[i]
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			break
		}
		text = append(text, c)
	}
	return "", false
}

// skip reads the characters of set that come next, and returns how many.
func (p *challengeParser) skip(set string) int {
	before := len(p.rest)
	p.rest = strings.TrimLeft(p.rest, set)
	return before - len(p.rest)
}

// take reads the characters that come next and are what is asks for.
func (p *challengeParser) take(is func(c byte) bool) string {
	n := 0
	for n < len(p.rest) && is(p.rest[n]) {
		n++
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isTokenChar is tchar of RFC 9110 §5.6.2.
func isTokenChar(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isToken68Char(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("-._~+/", c) >= 0
}
