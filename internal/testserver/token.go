package testserver

import (
	"mime"
	"net/http"
)

// An oauthError is an error answer of the token endpoint (RFC 6749 §5.2).
type oauthError struct {
	status      int
	code        string
	description string
}

func badRequest(code, description string) *oauthError {
	return &oauthError{http.StatusBadRequest, code, description}
}

// serveToken serves the token endpoint (RFC 6749 §3.2).
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	x, p := exchangeOf(r), s.policy.Load()
	x.sleep(p.TokenLatency)
	g, err := s.grant(w, x, p, r)
	if err != nil {
		x.note(func(e *Entry) { e.Error = err.code })
		writeTokenError(w, r, p, err)
		return
	}
	x.granted(g)
	writeAnswer(w, p, http.StatusOK, p.answer(s.now(), g))
}

func (s *Server) grant(w http.ResponseWriter, x *exchange, p *Policy, r *http.Request) (granted, *oauthError) {
	if err := wellFormed(r); err != nil {
		return granted{}, err
	}
	client, err := x.authenticate(p, r)
	if err != nil {
		return granted{}, err
	}
	if err := x.provedToken(w, p, r); err != nil {
		return granted{}, err
	}
	g, err := s.carryOut(x, p, client, r)
	if err == nil {
		x.bind(p, client, &g)
	}
	return g, err
}

// carryOut carries out the grant of a request that is the client's.
func (s *Server) carryOut(x *exchange, p *Policy, client string, r *http.Request) (granted, *oauthError) {
	switch x.grant {
	case grantRefresh:
		return s.tokens.refreshGrant(x, p, s.now(), client)
	case grantClient:
		return s.tokens.directGrant(p, s.now(), client, client, r.PostForm)
	case grantCode:
		return s.tokens.codeGrant(p, s.now(), client, x.jkt, r.PostForm)
	case grantDevice:
		return s.tokens.deviceGrant(p, s.now(), client, r.PostForm)
	case grantJWT:
		return s.assertionGrant(p, client, r.PostForm)
	case grantExchange:
		return s.exchangeGrant(p, client, r.PostForm)
	case "":
		return granted{}, badRequest("invalid_request", "grant_type is missing")
	}
	return granted{}, badRequest("unsupported_grant_type", "")
}

// wellFormed checks what RFC 6749 §3.2 and §4 demand of every token request.
func wellFormed(r *http.Request) *oauthError {
	if r.Method != http.MethodPost {
		return &oauthError{http.StatusMethodNotAllowed, "invalid_request", "the method is not POST"}
	}
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != formType {
		return badRequest("invalid_request", "the body is not a form")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return badRequest("invalid_request", "a parameter is there twice")
		}
	}
	for _, name := range []string{"client_secret", "refresh_token", "client_assertion", "code", "code_verifier", "device_code"} {
		if r.URL.Query().Has(name) {
			return badRequest("invalid_request", "a secret is in the URL")
		}
	}
	return nil
}

// granted notes what a token request brought about, before it is answered.
func (x *exchange) granted(g granted) {
	x.server.log.change(func(c *counts) {
		c.grants[x.grant]++
		x.entry.Granted = true
		x.entry.Account = g.account
		x.entry.NewAccessToken = g.access
		if g.refresh != x.entry.RefreshToken {
			x.entry.NewRefreshToken = g.refresh
		}
	})
}

func writeTokenError(w http.ResponseWriter, r *http.Request, p *Policy, err *oauthError) {
	if _, _, basic := r.BasicAuth(); basic && err.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="testserver"`)
	}
	writeAnswer(w, p, err.status, err.members())
}
