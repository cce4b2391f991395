package testserver

import (
	"context"
	"encoding/json"
	"net/http"
)

// An Upstream is an authorization server that others wrote.
type Upstream struct {
	// Handler serves its endpoints. The token endpoint is at /token; it finds the
	// form of a request in PostForm, for it is read already.
	Handler http.Handler

	// Check returns the account and the scope of an access token, or what is
	// wrong with it, in words for a challenge.
	Check func(ctx context.Context, token string) (account, scope, fault string)

	// Bound returns the thumbprint of the key to which an access token is bound that
	// Check has found good (RFC 9449 §6), or "". If nil, none is.
	Bound func(token string) string
}

// StandBefore makes the server a front: up answers what comes to the
// authorization server and says whether an access token is good, and the server
// adds its API, injected actions, gates and the log. Call it before the first
// request. Sessions, and what the [Policy] says of the token endpoint, are up's
// own from then on.
func (s *Server) StandBefore(up Upstream) { s.upstream = &up }

// serveUpstream passes a request to the authorization server on, and notes what
// became of a token request before that is answered.
func (s *Server) serveUpstream(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r)
	if x.endpoint != Token {
		s.upstream.Handler.ServeHTTP(w, r)
		return
	}
	answer := record(w, r, s.upstream.Handler.ServeHTTP)
	var m struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		Error        string `json:"error"`
	}
	json.Unmarshal(answer.body.Bytes(), &m) // what is no answer grants nothing
	if m.AccessToken != "" {
		x.granted(granted{access: m.AccessToken, refresh: m.RefreshToken})
	}
	x.note(func(e *Entry) { e.Error = m.Error })
	answer.send(w)
}

// checkAccess returns whose access token it is and its scope, and what is wrong
// with it or "".
func (s *Server) checkAccess(ctx context.Context, o origin, token string) (account, scope, fault string) {
	at, account, fault := s.tokens.check(token, s.now())
	if s.upstream != nil && fault == faultUnknown {
		return s.upstream.Check(ctx, token)
	}
	if fault == "" && !at.serves(o) {
		fault = faultResource
	}
	return account, at.scope, fault
}
