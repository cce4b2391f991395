package tokenstore

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Record is what is kept of one session: one account's authorization at one
// server. [Record.Encode] and [DecodeRecord] turn it into the bytes that a
// [Store] keeps, and back.
//
// The zero Record is no session. A Record is a value, but its slices and maps
// are shared by copies: change a [Record.Clone]. Printing a Record shows no
// secret, and json.Marshal of one is an error.
type Record struct {
	// Issuer, ClientID and Account say whose session it is: the authorization
	// server, the client registered there, and the name that the program has
	// for the account.
	Issuer, ClientID, Account string

	// Session names the session: it is drawn at every login by [NewSessionID].
	// Generation grows with every exchange at the token endpoint, and Ended is
	// true when the session was logged out. The three order records; see
	// [Record.Newer].
	Session    string
	Generation uint64
	Ended      bool

	// RefreshToken renews the session (RFC 6749 §6). RefreshExpiry is when it
	// ends, as far as the server tells; zero is unknown.
	RefreshToken  Secret
	RefreshExpiry time.Time

	// IDToken is the last id_token received, unverified (OpenID Connect Core
	// §2).
	IDToken Secret

	// Scope is what was granted to the session, space-separated (RFC 6749
	// §3.3); empty is what the client asked for.
	Scope string

	// Access holds the access tokens, at most one for each target.
	Access []AccessToken

	// Extra holds every other member of the server's answers, as JSON. Servers
	// put secrets there too (device_secret), so they are kept as such.
	Extra map[string]Secret

	// DPoPKey is the private key that the tokens are bound to (RFC 9449).
	DPoPKey Secret

	// Seed is the hash of the token that the session was imported from.
	Seed string
}

// An AccessToken is an access token of a [Record].
type AccessToken struct {
	// Target is the resource or the set of scopes that the token is for; empty
	// is the session's own.
	Target string

	Token Secret
	Type  string // token_type, as the server wrote it (RFC 6749 §7.1); empty is Bearer

	// Issued is when the request for the token began, by this host's clock.
	// Expiry is when it ends by the same clock; zero is unknown. Both are kept
	// to the millisecond.
	Issued, Expiry time.Time

	Scope string // granted to this token; empty is the session's

	// Generation is that of the record when the token came.
	Generation uint64
}

// Token returns the access token for target.
func (r *Record) Token(target string) (AccessToken, bool) {
	for _, t := range r.Access {
		if t.Target == target {
			return t, true
		}
	}
	return AccessToken{}, false
}

// SetToken puts t into the record, in place of the one with the same target. It
// changes r.Access, so r must be a clone where others hold the record too.
func (r *Record) SetToken(t AccessToken) {
	i := slices.IndexFunc(r.Access, func(a AccessToken) bool { return a.Target == t.Target })
	if i >= 0 {
		r.Access[i] = t
		return
	}
	r.Access = append(r.Access, t)
	slices.SortFunc(r.Access, func(a, b AccessToken) int { return cmp.Compare(a.Target, b.Target) })
}

// Clone returns a copy of r that shares nothing that can be changed.
func (r Record) Clone() Record {
	r.Access = slices.Clone(r.Access)
	r.Extra = maps.Clone(r.Extra)
	return r
}

// Exists reports whether r is a record of a session, ended or not.
func (r *Record) Exists() bool { return r.Session != "" }

// Newer reports whether r was made after than: by the session, later logins
// first, then by its end, then by the generation. Every record is newer than
// the zero Record. Records of the same rank are not newer than each other; of
// two such, the stored one counts.
func (r *Record) Newer(than *Record) bool {
	if c := cmp.Compare(r.Session, than.Session); c != 0 {
		return c > 0
	}
	if r.Ended != than.Ended {
		return r.Ended
	}
	return r.Generation > than.Generation
}

// sessionDigits is how many hexadecimal digits of a session id are its time, in
// milliseconds since 1970. As many random digits follow.
const sessionDigits = 16

// NewSessionID draws the id of a new session: greater than after, the id of the
// session it replaces ("" for none), and no less than the clock. Nothing else in
// the protocol that orders records looks at a clock.
func NewSessionID(after string) string {
	ms := uint64(max(time.Now().UnixMilli(), 0))
	if validSession(after) {
		ms = max(ms, sessionTime(after)+1)
	}
	var tail [sessionDigits / 2]byte
	rand.Read(tail[:])
	return fmt.Sprintf("%0*x%s", sessionDigits, ms, hex.EncodeToString(tail[:]))
}

// maxSessionTime leaves room for more sessions than there will ever be above
// the id of any session.
const maxSessionTime = 1 << 62

func sessionTime(id string) uint64 {
	ms, _ := strconv.ParseUint(id[:sessionDigits], 16, 64)
	return ms
}

func validSession(id string) bool {
	return len(id) == 2*sessionDigits && strings.Trim(id, "0123456789abcdef") == "" &&
		sessionTime(id) < maxSessionTime
}

// String describes the record without its secrets.
func (r Record) String() string {
	if !r.Exists() {
		return "record(none)"
	}
	return fmt.Sprintf("record(account %q at %q, session %.8s, generation %d, ended %t, refresh token %s, %d access tokens)",
		r.Account, r.Issuer, r.Session[min(len(r.Session), sessionDigits):], r.Generation, r.Ended, r.RefreshToken.Fingerprint(), len(r.Access))
}

// Format prints what [Record.String] returns, for every verb.
func (r Record) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// LogValue is what slog handlers print.
func (r Record) LogValue() slog.Value { return slog.StringValue(r.String()) }
