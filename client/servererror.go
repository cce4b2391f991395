package client

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/transport"
)

// A ServerError is an answer of the authorization server other than the one that
// was asked for: an error by RFC 6749 §5.2, or something that is no answer of a
// token endpoint at all. It comes wrapped in a *[transport.RefreshError], which
// says what it means.
//
// Its texts are the server's, cut to a few hundred bytes and without control
// characters, terminal sequences and anything secret that the request had in it.
// errors.As also finds it as *oauth2.RetrieveError, without a body.
type ServerError struct {
	Status      int    // of HTTP; 0 for an answer that the user's browser brought (RFC 6749 §4.1.2.1)
	Code        string // error, "" where the server gave none
	Description string // error_description
	URI         string // error_uri; never open it without asking

	from  string // the endpoint
	wrong string // in our words
}

// Error says what the server answered.
func (e *ServerError) Error() string {
	text := fmt.Sprintf("client: the %s answered", cmp.Or(e.from, "server"))
	if e.Status != 0 {
		text += fmt.Sprintf(" %d", e.Status)
	}
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Description != "" {
		text += fmt.Sprintf(" (%s)", e.Description)
	}
	if e.wrong != "" {
		text += ": " + e.wrong
	}
	return text
}

// As sets target to the error as x/oauth2 has it, if target is a
// **oauth2.RetrieveError.
func (e *ServerError) As(target any) bool {
	t, ok := target.(**oauth2.RetrieveError)
	if !ok {
		return false
	}
	*t = &oauth2.RetrieveError{
		Response: &http.Response{
			Status:     fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)),
			StatusCode: e.Status,
			Header:     make(http.Header),
			Body:       http.NoBody,
		},
		ErrorCode:        e.Code,
		ErrorDescription: e.Description,
		ErrorURI:         e.URI,
	}
	return true
}

// said reports whether the answer has an error in it, under whatever status.
func (a *answer) said() bool {
	return !a.members.absent("error") && string(a.members["error"]) != "false" || a.code() != ""
}

// code returns the error code: "error" (RFC 6749 §5.2), or where some servers
// have it instead.
func (a *answer) code() string {
	if code, ok := a.members.text("error"); ok {
		return code
	}
	var nested struct{ Code, Type any } // OpenAI: {"error": {"code": …}}
	if json.Unmarshal(a.members["error"], &nested) == nil {
		if code, ok := nested.Code.(string); ok {
			return code
		}
	}
	if code, _ := a.members.text("status"); code == "BAD_REFRESH_TOKEN" { // HubSpot
		return code
	}
	return ""
}

// serverError returns the answer as an error that can be shown.
func (a *answer) serverError() *ServerError {
	text := func(name string) string { s, _ := a.members.text(name); return s }
	return &ServerError{
		from:        a.from,
		Status:      a.status,
		Code:        clean(a.code(), a.secrets, maxCode),
		Description: clean(text("error_description"), a.secrets, maxDescription),
		URI:         clean(text("error_uri"), a.secrets, maxShownURI),
	}
}

// wrong returns an error that says in our words what is wrong with the answer.
func (a *answer) wrong(what string) *ServerError {
	return &ServerError{from: a.from, Status: a.status, wrong: what}
}

// failure returns what an answer that brings no token means.
func (a *answer) failure() *transport.RefreshError {
	if a.fault != nil || !a.said() {
		return a.noAnswer()
	}
	se := a.serverError()
	re := &transport.RefreshError{Err: se}
	re.Kind, re.Doubtful = kindOf(a.status, a.code())
	if a.code() == "invalid_client" && re.Kind == transport.Misconfigured {
		se.wrong = "check Config.ClientID, ClientSecret and Auth"
	}
	if re.Kind == transport.Transient {
		re.RetryAfter, re.OutcomeUnknown = a.retryAfter, a.unknown
	}
	return re
}

// noAnswer returns the error of an answer that is none of a token endpoint. It
// says nothing of the session, whatever its status.
func (a *answer) noAnswer() *transport.RefreshError {
	what := "not an error of OAuth"
	switch {
	case a.status/100 == 3:
		what = "redirects are not followed"
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed:
		what = "is the URL of the " + cmp.Or(a.from, "endpoint") + " in Config right?"
	case a.status/100 != 2 && a.fault != errHTML:
	case a.fault != nil:
		what = a.fault.Error()
	case a.status/100 == 2:
		_, err := a.accessToken()
		what = err.Error()
	}
	return &transport.RefreshError{
		Kind:           transport.Transient,
		RetryAfter:     a.retryAfter,
		OutcomeUnknown: a.unknown || a.status/100 == 2 || gateway(a.status),
		Err:            a.wrong(what),
	}
}

// gateway reports whether the status is that of a gateway to which the server did
// not answer (RFC 9110 §15.6.3, §15.6.5): it may have acted.
func gateway(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// kindOf says what an error code means for the session. Servers that are out of
// order say all kinds of things, so from a 5xx, a 429 or a 408 nothing is final.
func kindOf(status int, code string) (kind transport.Kind, doubtful bool) {
	if status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout {
		return transport.Transient, false
	}
	switch {
	case slices.Contains(codesOfLogin, code):
		if spoken(status) {
			return transport.LoginRequired, false
		}
	case slices.Contains(codesOfProgram, code):
		return transport.Misconfigured, false
	case code == "invalid_request":
		// Of a dead refresh token at dex and mockoidc, of the loser of a race at
		// hydra, and of a request that is really wrong.
		return transport.Transient, true
	}
	return transport.Transient, false
}

// spoken reports whether a token endpoint itself answers with the status: 400 or
// 401 (RFC 6749 §5.2), 403 at some, 200 at others (GitHub, Slack).
func spoken(status int) bool {
	return status/100 == 2 || status == http.StatusBadRequest ||
		status == http.StatusUnauthorized || status == http.StatusForbidden
}

// codesOfLogin say that the refresh token is no longer good.
var codesOfLogin = []string{
	"invalid_grant", // RFC 6749 §5.2

	// OpenID Connect Core §3.1.2.6; Microsoft Entra also at the token endpoint.
	"interaction_required", "login_required", "consent_required", "account_selection_required",

	"bad_refresh_token",         // GitHub, with status 200
	"invalid_refresh_token",     // Slack with status 200, Gluu with 401
	"refresh_token_expired",     // Slack; OpenAI, in a nested object
	"refresh_token_reused",      // OpenAI
	"refresh_token_invalidated", // OpenAI
	"token_expired",             // OpenAI, of a refresh token
	"BAD_REFRESH_TOKEN",         // HubSpot, as "status"
}

// codesOfProgram say that the program must be corrected, not its session.
var codesOfProgram = []string{
	"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", // RFC 6749 §5.2
	"invalid_target",               // RFC 8707 §2
	"incorrect_client_credentials", // GitHub, with status 200
	"bad_client_secret",            // Slack, with status 200
	"invalid_client_id",            // Slack, with status 200
}
