package client

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// An answer is what a token endpoint said (RFC 6749 §5.1, §5.2), taken apart and
// not yet judged. Members that are optional are read for what they are worth.
type answer struct {
	from       string // the name of the endpoint
	status     int
	began      time.Time // when the request began
	retryAfter time.Duration
	members    members
	json       bool  // members were read from an object
	fault      error // what keeps the whole from being an answer; shows nothing of it
	unknown    bool  // the server may have acted, on this or an earlier attempt
	secrets    []string
}

var (
	errTooLarge    = errors.New("the answer has more than 1 MiB")
	errHTML        = errors.New("an HTML page, not an answer")
	errContentType = errors.New("its Content-Type is neither JSON nor a form")
)

// readAnswer takes an answer apart. secrets must not be shown of it.
func readAnswer(resp *http.Response, text []byte, secrets []string) *answer {
	a := &answer{
		status:     resp.StatusCode,
		retryAfter: retryAfter(resp.Header, time.Now()),
		secrets:    secrets,
	}
	if len(text) > maxAnswer {
		text = text[:maxAnswer]
		a.fault = errTooLarge
	}
	fault := a.readMembers(resp.Header.Get("Content-Type"), text)
	if a.fault == nil {
		a.fault = fault
	} else if !a.json {
		a.members = nil // the last one is cut, and nothing shows it
	}
	return a
}

// readMembers reads text by its type (RFC 6749 §5.1, and what servers make of
// it). An object is looked into whatever its type: it may be wrong to use the
// answer, but never to lose a refresh token that is in it.
func (a *answer) readMembers(contentType string, text []byte) (fault error) {
	a.json = bytes.HasPrefix(bytes.TrimLeft(text, "\ufeff \t\r\n"), []byte("{"))
	mediaType := mediaTypeOf(contentType)
	if a.json {
		a.members, fault = readJSON(text)
	}
	switch {
	case mediaType == "text/html" || mediaType == "application/xhtml+xml":
		return errHTML
	case mediaType == "" || mediaType == "text/plain":
		if !a.json {
			a.members, fault = readForm(text)
		}
	case mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json"):
		if !a.json {
			return errNotObject
		}
	case mediaType == "application/x-www-form-urlencoded":
		if a.json {
			return errNotForm
		}
		a.members, fault = readForm(text)
	default:
		return errContentType
	}
	return fault
}

// mediaTypeOf returns the type of a Content-Type, in lower case and without its
// parameters, which need not be well-formed.
func mediaTypeOf(contentType string) string {
	if mediaType, _, err := mime.ParseMediaType(contentType); err == nil {
		return mediaType
	}
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(mediaType))
}

// usable reports whether the answer can be used although the connection broke
// before its end: the object is whole by itself, or a refresh token is in what
// came of it. Of a form that can't be told.
func (a *answer) usable() bool {
	_, hasRefresh := a.refreshToken()
	return a.json && (hasRefresh || a.fault == nil)
}

// accessToken returns the access token, which is required, and must be fit for a
// header.
func (a *answer) accessToken() (tokenstore.Secret, error) {
	t, ok := a.members.text("access_token")
	switch {
	case !ok || t == "":
		return tokenstore.Secret{}, errNoAccess
	case tokenstore.CheckToken(t) != nil:
		return tokenstore.Secret{}, errBadAccess
	}
	return tokenstore.NewSecret(t), nil
}

var (
	errNoAccess  = errors.New("the answer has no access_token")
	errBadAccess = errors.New("the access_token has a character that no token has")
)

// refreshToken returns the refresh token, and whether there is one that can be
// kept.
func (a *answer) refreshToken() (tokenstore.Secret, bool) {
	t, ok := a.members.text("refresh_token")
	if !ok || t == "" || tokenstore.CheckToken(t) != nil {
		return tokenstore.Secret{}, false
	}
	return tokenstore.NewSecret(t), true
}

// idToken returns the id_token, or none.
func (a *answer) idToken() tokenstore.Secret {
	t, _ := a.members.text("id_token")
	if tokenstore.CheckToken(t) != nil {
		return tokenstore.Secret{}
	}
	return tokenstore.NewSecret(t)
}

// maxTokenType is how long a token_type may be.
const maxTokenType = 40

// tokenType returns the type of the access token as the server wrote it (RFC
// 6749 §7.1), "" for none, which is taken for Bearer. What can't be a type is
// "unreadable": no token of it is sent.
func (a *answer) tokenType() string {
	if a.members.absent("token_type") {
		return ""
	}
	t, ok := a.members.text("token_type")
	if !ok || len(t) > maxTokenType || strings.Trim(t, tokenChars+":/") != "" {
		return "unreadable"
	}
	return t
}

func bearer(tokenType string) bool { return tokenType == "" || strings.EqualFold(tokenType, "Bearer") }

// maxLifetime is the longest lifetime that is believed. No access token lives
// that long; nanoseconds taken for seconds do.
const maxLifetime = 10 * 365 * 24 * time.Hour

// lifetime returns the lifetime under the first of names that is there: a number
// of seconds (RFC 6749 §5.1), or one in a string. Zero is unknown, as everything
// else is that means no time to come.
func (a *answer) lifetime(names ...string) time.Duration {
	for _, name := range names {
		if a.members.absent(name) {
			continue
		}
		if text, ok := a.members.text(name); ok {
			return seconds(strings.TrimSpace(text))
		}
		return seconds(string(a.members[name]))
	}
	return 0
}

func seconds(number string) time.Duration {
	if strings.Trim(number, "0123456789+-.eE") != "" { // ParseFloat takes more than numbers of JSON
		return 0
	}
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange), !(n > 0):
		return 0
	case n >= maxLifetime.Seconds():
		return maxLifetime
	}
	return time.Duration(n * float64(time.Second))
}

// maxRetryAfter is the longest pause that a server may ask for.
const maxRetryAfter = time.Hour

// retryAfter reads Retry-After (RFC 9110 §10.2.3): seconds, or a date, which is
// held against the server's own clock where it tells it.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value != "" && strings.Trim(value, "0123456789") == "" {
		n, _ := strconv.ParseUint(value, 10, 64) // the greatest, if it is greater
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
