package transport

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
)

// A Token is an access token as a [Source] hands it out. The zero Token is none.
// A Token never changes, may be copied and used at once by many, and prints
// nothing secret.
type Token struct{ issue *issue }

// Reveal returns the access token itself.
func (t Token) Reveal() string {
	if t.issue == nil {
		return ""
	}
	return t.issue.access.Token.Reveal()
}

// IsZero reports whether t is no token.
func (t Token) IsZero() bool { return t.issue == nil }

// Type returns the token's type, "Bearer" where the server gave none.
func (t Token) Type() string {
	if t.issue == nil {
		return ""
	}
	return schemeOf(t.issue.access)
}

// Expiry returns when the token ends by this host's clock; zero is unknown.
func (t Token) Expiry() time.Time {
	if t.issue == nil {
		return time.Time{}
	}
	return t.issue.access.Expiry
}

// Target returns what the token is for: "" or the resource or scopes that were
// asked for.
func (t Token) Target() string {
	if t.issue == nil {
		return ""
	}
	return t.issue.access.Target
}

// Scope returns the granted scope, space-separated (RFC 6749 §3.3).
func (t Token) Scope() string {
	if t.issue == nil {
		return ""
	}
	if t.issue.access.Scope != "" {
		return t.issue.access.Scope
	}
	return t.issue.record.Scope
}

// Account returns the account whose token it is.
func (t Token) Account() string {
	if t.issue == nil {
		return ""
	}
	return t.issue.record.Account
}

// IDToken returns the last id_token of the session, unverified, or "".
func (t Token) IDToken() string {
	if t.issue == nil {
		return ""
	}
	return t.issue.record.IDToken.Reveal()
}

// Extra returns another member of the server's answers as JSON, or "".
func (t Token) Extra(name string) string {
	if t.issue == nil {
		return ""
	}
	return t.issue.record.Extra[name].Reveal()
}

// OAuth2 returns the token for libraries that want the x/oauth2 type: without
// the refresh token, so that nobody else spends it.
func (t Token) OAuth2() *oauth2.Token {
	if t.issue == nil {
		return nil
	}
	tok := &oauth2.Token{AccessToken: t.Reveal(), TokenType: t.Type(), Expiry: t.Expiry()}
	extra := map[string]any{"scope": t.Scope()}
	if id := t.IDToken(); id != "" {
		extra["id_token"] = id
	}
	return tok.WithExtra(extra)
}

// String describes the token without showing it.
func (t Token) String() string {
	if t.issue == nil {
		return "token(none)"
	}
	return fmt.Sprintf("token(%s %s, expiry %s)", t.Type(), t.issue.access.Token.Fingerprint(), t.Expiry().Format(time.RFC3339))
}

// Format prints what [Token.String] returns, for every verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue is what slog handlers print.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// An issue is one access token of a record, ready for use. All of it is decided
// when it is made, but for what the APIs say of it.
type issue struct {
	record    *tokenstore.Record
	access    *tokenstore.AccessToken
	header    tokenstore.Secret // the Authorization header; empty if the token can't be sent
	bound     bool              // to a key of the record
	refreshAt time.Time         // when it becomes stale; zero if that is unknown
	remedy    bool              // it came in place of a token that was rejected early
	glance    glance

	rejected atomic.Bool // by an API
	early    atomic.Bool // … while it was fresh
	accepted atomic.Bool // by an API, after a 401 to the token before
	struck   atomic.Bool // counted by the breaker
	worn     atomic.Bool // to be refreshed although it is fresh
}

// newIssue prepares the i-th access token of rec, which must not change any
// more.
func newIssue(rec *tokenstore.Record, i int, before time.Duration) *issue {
	t := new(issue)
	t.prepare(rec, i, before)
	return t
}

func (t *issue) prepare(rec *tokenstore.Record, i int, before time.Duration) {
	t.record, t.access = rec, &rec.Access[i]
	t.bound = bound(rec, t.access)
	t.glance.begin()
	if scheme := schemeOf(t.access); (scheme == bearer || t.bound) && !t.access.Token.IsZero() {
		t.header = tokenstore.NewSecret(scheme + " " + t.access.Token.Reveal())
	}
	t.refreshAt = refreshPoint(rec, t.access, before, jittered)
}

// reject notes that an API rejected the token.
func (t *issue) reject() {
	t.rejected.Store(true)
	t.glance.end()
}

// wear makes the token one that is to be refreshed although it is fresh.
func (t *issue) wear() {
	t.worn.Store(true)
	t.glance.end()
}

const bearer = "Bearer"

// schemeOf returns the authentication scheme that the token is sent with (RFC
// 6750 §2.1, RFC 9449 §7.1): its type, which is case-insensitive (RFC 6749 §5.1).
func schemeOf(t *tokenstore.AccessToken) string {
	switch {
	case t.Type == "" || strings.EqualFold(t.Type, bearer):
		return bearer
	case strings.EqualFold(t.Type, dpop):
		return dpop
	}
	return t.Type
}

// refreshTokenWindow is how long before the end of its refresh token a session is
// refreshed, at the most.
const refreshTokenWindow = 24 * time.Hour

// refreshPoint returns when a token of rec is refreshed: some time ahead of its own
// expiry or that of the refresh token, whichever comes first. In the last second of
// a refresh token that a server does not renew that is left, or there would be no
// end of refreshes. It is zero if nothing is known of an end.
func refreshPoint(rec *tokenstore.Record, t *tokenstore.AccessToken, before time.Duration, window func(time.Duration) time.Duration) (at time.Time) {
	if !t.Expiry.IsZero() {
		at = t.Expiry.Add(-window(refreshWindow(before, t.Expiry.Sub(t.Issued))))
	}
	life := rec.RefreshExpiry.Sub(t.Issued)
	if rec.RefreshToken.IsZero() || rec.RefreshExpiry.IsZero() || life <= time.Second {
		return at
	}
	last := rec.RefreshExpiry.Add(-window(refreshWindow(refreshTokenWindow, life)))
	if at.IsZero() || last.Before(at) {
		return last
	}
	return at
}

// refreshWindow is how long before its end what has the given lifetime is renewed:
// before, but no more than a quarter of the lifetime.
func refreshWindow(before, lifetime time.Duration) time.Duration {
	return max(min(before, lifetime/4), 0)
}

// jittered takes up to half off window, so that many sessions begun at once part.
func jittered(window time.Duration) time.Duration {
	if half := window / 2; half > 0 {
		window -= rand.N(half)
	}
	return window
}

// whole is a window without a jitter.
func whole(window time.Duration) time.Duration { return window }

// A freshness is what a token is good for.
type freshness uint8

const (
	expired freshness = iota // callers wait for another
	stale                    // handed out, and refreshed meanwhile
	fresh                    // handed out
)

// maxStep is how far the clock may be behind the time at which a token was
// issued, before that is taken for a step of the clock. Hosts that share a
// session differ by less.
const maxStep = 5 * time.Minute

// freshness judges the token by the wall clock, which goes on while a laptop
// sleeps: the times of a record have no monotonic reading. A clock that was set
// back says nothing about the token, so it is used and refreshed.
func (t *issue) freshness(now time.Time) freshness {
	switch {
	case t == nil || t.header.IsZero() || t.rejected.Load():
		return expired
	case t.worn.Load():
	case t.refreshAt.IsZero():
		return fresh
	case now.Before(t.refreshAt) && now.After(t.access.Issued.Add(-maxStep)):
		return fresh
	}
	if t.access.Expiry.IsZero() || now.Before(t.access.Expiry) {
		return stale
	}
	return expired
}

// follow takes over what the APIs said of last, the token before t. own is false
// where another process refreshed: that cost this one nothing, and at servers where
// a token dies at rotation, last was rejected for no other reason.
func (t *issue) follow(last *issue, own bool) {
	switch {
	case last == nil:
	case t.is(last) && t.access.Token.Equal(last.access.Token):
		t.access = last.access // the store keeps times to the millisecond
		t.refreshAt, t.remedy = last.refreshAt, last.remedy
		t.rejected.Store(last.rejected.Load())
		t.early.Store(last.early.Load())
		t.accepted.Store(last.accepted.Load())
		t.struck.Store(last.struck.Load())
		t.worn.Store(last.worn.Load())
	default:
		t.remedy = own && last.early.Load()
	}
}

// is reports whether t and other are the same issue of the same token: not
// whether their text is the same, which it may be of tokens that are not.
func (t *issue) is(other *issue) bool {
	return t == other || t != nil && other != nil &&
		t.record.Session == other.record.Session &&
		t.access.Generation == other.access.Generation &&
		t.access.Target == other.access.Target
}
