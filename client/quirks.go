package client

import (
	"slices"
	"strings"
)

// Quirks are departures of a server from the standards, or from what most
// servers do. The zero value is a server without any.
type Quirks struct {
	// RawBasic puts client id and secret into Basic authentication as they
	// are, for servers that do not decode them. If false they are form-encoded
	// first (RFC 6749 §2.3.1).
	RawBasic bool

	// NoLostAnswerRetry keeps a refresh whose answer was lost on a broken
	// connection from being sent again at once. If false it is sent once more:
	// that saves the session if the server did not act, and also if it did and
	// takes a refresh token a second time for a while.
	NoLostAnswerRetry bool

	// UnannouncedPKCE is for servers that support PKCE with S256 and whose metadata
	// does not say so. If false, such metadata stops a login: without PKCE a stolen
	// code is a stolen session (RFC 9700 §2.1.1).
	UnannouncedPKCE bool

	// TokenEndpointAudience addresses the JWTs of [ClientSecretJWT] and
	// [PrivateKeyJWT] to the URL of the token endpoint, for servers that take no
	// other. If false they are addressed to the issuer, so that no other server can
	// use them.
	TokenEndpointAudience bool

	// BearerTypes are other names that the server gives to bearer tokens, such as
	// "bot" and "user" at Slack, in any case. If empty, a token of another type than
	// Bearer is kept and not sent (RFC 6749 §7.1).
	BearerTypes []string
}

// tokenType returns the type of a token that the server calls name.
func (q *Quirks) tokenType(name string) string {
	if slices.ContainsFunc(q.BearerTypes, func(t string) bool { return strings.EqualFold(t, name) }) {
		return "Bearer"
	}
	return name
}
