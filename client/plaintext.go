package client

import (
	"cmp"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/freshet-go/freshet/tokenstore"
)

// What is shown of a server's texts, in bytes.
const (
	maxCode        = 64
	maxDescription = 300
	maxShownURI    = 200
)

// escapes are the control sequences and strings of terminals (ECMA-48 §5.4, §5.6).
var escapes = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\x1b[]PX^_]|[\u0090\u009d])[^\x07\x1b\u009c]*")

// redacted stands in a text in place of a secret; until all are found, mark does,
// which no printable text has, so that none is found in what stands for another.
const (
	redacted = "[redacted]"
	mark     = "\x00"
)

// clean returns what may be shown of a text that a server wrote: no characters
// that control a terminal, hide or reorder text, nothing of secrets, and at most
// max bytes.
func clean(text string, secrets []string, max int) string {
	text = printable(text)
	for _, s := range secrets {
		if s = printable(s); s != "" {
			text = strings.ReplaceAll(text, s, mark)
		}
	}
	text = strings.ReplaceAll(text, mark, redacted)
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
var openMembers = []string{"grant_type", "scope", "client_id", "client_assertion_type", "redirect_uri", "resource", "audience",
	"subject_token_type", "actor_token_type", "requested_token_type", "response_type", "code_challenge_method"}

// shortestSecret is the length from which on a text that may be a secret is
// taken for one. Client secret and tokens are secrets of any length.
const shortestSecret = 8

// A secretList is texts that must not be shown.
type secretList []string

// add adds s, if it is long enough, as it is and as forms have it.
func (l *secretList) add(s string, shortest int) {
	if len(s) < shortest {
		return
	}
	*l = append(*l, s)
	if q := url.QueryEscape(s); q != s {
		*l = append(*l, q)
	}
}

// sorted returns the list with the longest first, for one may be in another.
func (l secretList) sorted() []string {
	slices.SortFunc(l, func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) })
	return slices.Compact(l)
}

// secretsOf returns what the request sends that must not come back in a text:
// some servers quote what they refuse. The longest is first.
func secretsOf(req *http.Request, form url.Values) []string {
	secrets := secretsOfForm(form)
	if _, secret, ok := req.BasicAuth(); ok {
		secrets.add(secret, 1)
		if raw, err := url.QueryUnescape(secret); err == nil {
			secrets.add(raw, 1)
		}
	}
	for name, values := range req.Header {
		for _, v := range values {
			if name != "Accept" && name != "Content-Type" {
				secrets.add(strings.TrimPrefix(v, "Basic "), shortestSecret)
			}
		}
	}
	return secrets.sorted()
}

func secretsOfForm(form url.Values) (secrets secretList) {
	for name, values := range form {
		shortest := shortestSecret
		if slices.Contains(ownMembers, name) || name == "token" {
			shortest = 1
		}
		for _, v := range values {
			if !slices.Contains(openMembers, name) {
				secrets.add(v, shortest)
			}
		}
	}
	return secrets
}

// hide keeps the secrets of rec from being shown of the answer, and those that it
// brings itself: its server knows them all, and could quote any.
func (a *answer) hide(rec *tokenstore.Record) {
	secrets := secretList(slices.Clone(a.secrets))
	secrets.add(rec.RefreshToken.Reveal(), 1)
	secrets.add(rec.IDToken.Reveal(), shortestSecret)
	secrets.add(rec.DPoPKey.Reveal(), shortestSecret)
	for _, t := range rec.Access {
		secrets.add(t.Token.Reveal(), 1)
	}
	for _, value := range rec.Extra {
		secrets.add(strings.Trim(value.Reveal(), `"`), shortestSecret)
	}
	for _, name := range []string{"access_token", "refresh_token", "id_token", "device_secret"} {
		text, _ := a.members.text(name)
		secrets.add(text, shortestSecret)
	}
	a.secrets = secrets.sorted()
}
