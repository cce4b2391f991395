package testserver

import (
	"net/url"
	"time"
)

const jwtBearerAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// maxAssertion is how long a client's JWT may be good for.
const maxAssertion = 10 * time.Minute

// checkClientJWT checks the JWT with which a client authenticates (RFC 7523 §3).
func (s *Server) checkClientJWT(p *Policy, id, jwt, kind string) *oauthError {
	c := claimsOf(jwt)
	audience := s.issuer
	if p.TokenAudience {
		audience = s.TokenURL()
	}
	var key any = p.ClientKeys[id]
	if p.ClientKeys[id] == nil {
		key = p.Clients[id]
	}
	now := s.now()
	switch {
	case kind != jwtBearerAssertion:
		return invalidClient("the client_assertion_type is not that of a JWT")
	case !either(p.ClientAuth, AuthJWT):
		return invalidClient("the client authentication is not " + string(p.ClientAuth))
	case key == "" || !verify(jwt, key):
		return invalidClient("the signature of the JWT is not the client's")
	case id == "" || c.text("iss") != id || c.text("sub") != id:
		return invalidClient("iss and sub are not the client")
	case c.text("aud") != audience:
		return invalidClient("aud is not " + audience)
	case !now.Before(c.time("exp")) || c.time("exp").After(now.Add(maxAssertion)):
		return invalidClient("the JWT has expired, or is good for too long")
	case c.text("jti") == "" || !s.tokens.firstUse(c.text("jti")):
		return invalidClient("the JWT has no jti, or one that came before")
	}
	return nil
}

func (t *tokenTable) firstUse(jti string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.jtis) > maxSpent {
		clear(t.jtis)
	}
	used := t.jtis[jti]
	t.jtis[jti] = true
	return !used
}

// assertionGrant carries out RFC 7523 §2.1: for the account that is the subject. Its
// signature is checked if the issuer is one of [Policy].ClientKeys.
func (s *Server) assertionGrant(p *Policy, client string, form url.Values) (granted, *oauthError) {
	jwt := form.Get("assertion")
	c := claimsOf(jwt)
	key, known := p.ClientKeys[c.text("iss")]
	switch aud := c.text("aud"); {
	case c.text("iss") == "" || c.text("sub") == "":
		return granted{}, badRequest("invalid_grant", "iss or sub is missing")
	case known && !verify(jwt, key):
		return granted{}, badRequest("invalid_grant", "the signature is not the issuer's")
	case aud != s.issuer && aud != s.TokenURL():
		return granted{}, badRequest("invalid_grant", "aud is not this server")
	case !s.now().Before(c.time("exp")):
		return granted{}, badRequest("invalid_grant", "the assertion has expired")
	}
	return s.tokens.directGrant(p, s.now(), client, c.text("sub"), form)
}

// exchangeGrant carries out RFC 8693 §2 for access tokens of this server, and for JWTs
// of others, whose subject is believed.
func (s *Server) exchangeGrant(p *Policy, client string, form url.Values) (granted, *oauthError) {
	token := form.Get("subject_token")
	if form.Get("subject_token_type") == "" || token == "" {
		return granted{}, badRequest("invalid_request", "subject_token or subject_token_type is missing")
	}
	_, account, fault := s.tokens.check(token, s.now())
	if fault == faultUnknown {
		account = claimsOf(token).text("sub")
	}
	if account == "" || fault != "" && fault != faultUnknown {
		return granted{}, badRequest("invalid_grant", "the subject token is not good")
	}
	g, err := s.tokens.directGrant(p, s.now(), client, account, form)
	g.issuedType = "urn:ietf:params:oauth:token-type:access_token"
	return g, err
}
