package transport

import (
	"net/http"
	"strings"
)

// Retry says what follows a 401. The zero value is the default: the token is
// refreshed and the request sent again, once, unless the answer says that another
// token would not help.
type Retry struct {
	// ChallengeRequired asks for a WWW-Authenticate that can be read: a 401
	// without one goes back to the caller, and nothing is refreshed. If false,
	// such a 401 is taken for "invalid token", as which many APIs mean it.
	ChallengeRequired bool

	// IdempotentOnly sends a request again only if its method is idempotent
	// (RFC 9110 §9.2.2): GET, HEAD, OPTIONS, TRACE, PUT or DELETE. Any other
	// gets its 401 back, after the refresh, so that the next request works. If
	// false, every method is sent again: a server that says 401 has not acted.
	IdempotentOnly bool
}

// resends reports whether a request with that method is sent again after a 401.
// Methods are case-sensitive (RFC 9110 §9.1); in net/http the empty one is GET.
func (r Retry) resends(method string) bool {
	if !r.IdempotentOnly {
		return true
	}
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// deservesRefresh reports whether another access token may get a better answer
// than resp, the answer to a request that carried one, and the error code that
// decided it, as the server wrote it.
//
// Only the challenges of our own schemes count: a server offers others beside
// them, or a gateway adds its own, and neither says anything of the token. Where
// several of ours disagree, a plain invalid_token comes first, and then a code
// to which no new token is the answer.
func deservesRefresh(resp *http.Response, r Retry) (code string, ok bool) {
	if resp.StatusCode != http.StatusUnauthorized {
		return "", false
	}
	challenges, readable := parseChallenges(resp.Header["Www-Authenticate"])
	asked, refused := false, false
	for _, c := range challenges {
		if !takesToken(c.Scheme) {
			continue
		}
		asked = true
		switch e := c.Param("error"); {
		case e == "invalid_token":
			return e, true
		case noRemedy(e):
			code, refused = e, true
		case code == "":
			code = e
		}
	}
	if asked {
		return code, !refused
	}
	missing := len(challenges) == 0 || !readable
	return "", missing && !r.ChallengeRequired
}

// takesToken reports whether scheme is one under which servers take an access
// token: Bearer (RFC 6750 §3), DPoP (RFC 9449 §7.1), or one of the names that
// Bearer had in drafts and still has at some APIs.
func takesToken(scheme string) bool {
	switch strings.ToLower(scheme) {
	case "bearer", "dpop", "oauth", "token":
		return true
	}
	return false
}

// noRemedy reports whether a new access token is no answer to the error code.
// Every other code deserves a refresh, known or not: servers make up names such
// as token_expired, and a 401 says that the credentials are at fault (RFC 9110
// §15.5.2), of which there is only the token. A needless refresh costs one
// request for each token, and no more once the breaker is open; a missing one
// costs the session, where the token's expiry is not known.
func noRemedy(code string) bool {
	switch code {
	case "insufficient_scope", "invalid_request", // RFC 6750 §3.1
		"insufficient_user_authentication",     // RFC 9470 §3
		"use_dpop_nonce", "invalid_dpop_proof", // RFC 9449 §9, §7.1: the proof, not the token
		"invalid_client": // RFC 6749 §5.2
		return true
	}
	return false
}
