package testserver

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// An Entry is what the [Log] knows of one request. Its fields have the tokens
// themselves, so that a test can compare them; printed, it shows fingerprints
// (but fmt prints what is in an unexported field of another struct as it is).
type Entry struct {
	Time       time.Time // when it came, by the real clock, not the server's
	Endpoint   Endpoint
	Scheme     string // https in memory if the client thinks so
	Host       string // what was dialed, without the scheme's own port
	HostHeader string // what the request says
	Method     string
	Path       string
	Query      string
	Header     http.Header // shared: don't change it
	Form       url.Values  // of a token or revocation request; shared too

	Account      string     // whose session it was, if known
	Grant        string     // the grant_type of a token request
	ClientID     string     // of a token or revocation request
	ClientAuth   ClientAuth // of the same
	AccessToken  string     // what the Authorization header presents
	RefreshToken string     // what the form of a token request presents
	Tokens       []string   // what it presents as tokens, and those of this server found anywhere in it

	InFlight        int    // requests to the endpoint that were being served, itself included
	Granted         bool   // a token request was carried out, or a token revoked, answered or not
	Reuse           bool   // the refresh token had been spent before
	Injected        bool   // an injected action happened
	Status          int    // what was answered; zero before, and if nothing was
	Error           string // the error code that the server itself answered
	NewAccessToken  string // what was issued, received or not
	NewRefreshToken string // what was issued, if it is another
}

// String returns a line without any secret.
func (e Entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s://%s%s", e.Time.Format("15:04:05.000"), e.Endpoint, e.Method, e.Scheme, e.Host, e.Path)
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s=%s", name, value)
		}
	}
	field("grant", e.Grant)
	field("client", e.ClientID)
	field("auth", string(e.ClientAuth))
	field("account", e.Account)
	field("at", Fingerprint(e.AccessToken))
	field("rt", Fingerprint(e.RefreshToken))
	fmt.Fprintf(&b, " -> %d", e.Status)
	field("error", e.Error)
	field("new_at", Fingerprint(e.NewAccessToken))
	field("new_rt", Fingerprint(e.NewRefreshToken))
	if e.Reuse {
		b.WriteString(" reuse")
	}
	if e.Injected {
		b.WriteString(" injected")
	}
	return b.String()
}

// Format prints what [Entry.String] returns, for every verb.
func (e Entry) Format(f fmt.State, _ rune) { io.WriteString(f, e.String()) }

// MarshalText returns what [Entry.String] does.
func (e Entry) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// Fingerprint returns six characters by which a token can be told from others,
// or "" for none.
func Fingerprint(token string) string {
	if token == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:3])
}
