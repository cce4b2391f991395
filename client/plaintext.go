package client

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is shown of a server's texts, in bytes.
const (
	maxCode        = 64
	maxDescription = 300
	maxShownURI    = 200
)

// escapes are the control sequences and strings of terminals (ECMA-48 §5.4, §5.6).
var escapes = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\x1b[]PX^_]|[\u0090\u009d])[^\x07\x1b\u009c]*")

// clean returns what may be shown of a text that a server wrote: no characters
// that control a terminal, hide or reorder text, nothing of secrets, and at most
// max bytes.
func clean(text string, secrets []string, max int) string {
	text = printable(text)
	for _, s := range secrets {
		text = strings.ReplaceAll(text, printable(s), "[redacted]")
	}
	if len(text) <= max {
		return text
	}
	for max > 0 && !utf8.RuneStart(text[max]) {
		max--
	}
	return text[:max] + "…"
}

// printable returns text without escape sequences and characters that are not
// printed. Bidirectional controls (Unicode TR9) are not, nor is any space but the
// plain one, nor what fonts show as nothing: such characters in a secret would
// keep it from being found.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) || unicode.In(r, invisible...) {
			return -1
		}
		return r
	}, escapes.ReplaceAllString(text, ""))
}

// invisible are the letters and marks that leave no trace (Unicode §5.21).
var invisible = []*unicode.RangeTable{unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector}

// openMembers are the members of a token request that may be shown.
var openMembers = []string{"grant_type", "scope", "client_id", "client_assertion_type", "redirect_uri", "resource", "audience"}

// shortestSecret is the length from which on a text that may be a secret is
// taken for one. Client secret and tokens are secrets of any length.
const shortestSecret = 8

// secretsOf returns what the request sends that must not come back in a text:
// some servers quote what they refuse. The longest is first.
func secretsOf(req *http.Request, form url.Values) []string {
	var secrets []string
	add := func(s string, shortest int) {
		if len(s) < shortest {
			return
		}
		secrets = append(secrets, s)
		if q := url.QueryEscape(s); q != s {
			secrets = append(secrets, q)
		}
	}
	for name, values := range form {
		shortest := shortestSecret
		if slices.Contains(ownMembers, name) {
			shortest = 1
		}
		for _, v := range values {
			if !slices.Contains(openMembers, name) {
				add(v, shortest)
			}
		}
	}
	if _, secret, ok := req.BasicAuth(); ok {
		add(secret, 1)
		if raw, err := url.QueryUnescape(secret); err == nil {
			add(raw, 1)
		}
	}
	for name, values := range req.Header {
		for _, v := range values {
			if name != "Accept" && name != "Content-Type" {
				add(strings.TrimPrefix(v, "Basic "), shortestSecret)
			}
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(secrets)
}
