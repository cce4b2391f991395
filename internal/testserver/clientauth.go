package testserver

import (
	"cmp"
	"net/http"
	"net/url"
)

// authTwice is a request that has both a header and a form secret.
const authTwice ClientAuth = "twice"

// credentials returns how r authenticates its client.
func credentials(r *http.Request, p *Policy) (id, secret string, how ClientAuth) {
	user, pass, basic := r.BasicAuth()
	post := r.PostForm.Has("client_secret")
	jwt := r.PostForm.Has("client_assertion")
	switch {
	case basic && post, jwt && (basic || post):
		return user, "", authTwice
	case jwt:
		return cmp.Or(r.PostForm.Get("client_id"), claimsOf(r.PostForm.Get("client_assertion")).text("sub")), r.PostForm.Get("client_assertion"), AuthJWT
	case basic:
		return basicText(user, p), basicText(pass, p), AuthBasic
	case post:
		return r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), AuthPost
	}
	return r.PostForm.Get("client_id"), "", AuthNone
}

// basicText undoes the form encoding that RFC 6749 §2.3.1 puts under Basic. Text
// that is not form-encoded can't be an id or a secret.
func basicText(text string, p *Policy) string {
	if p.RawBasic {
		return text
	}
	plain, err := url.QueryUnescape(text)
	if err != nil {
		return ""
	}
	return plain
}

// authenticate returns the client's id, or why it is refused.
func (x *exchange) authenticate(p *Policy, r *http.Request) (string, *oauthError) {
	id, secret, how := credentials(r, p)
	err := p.refuse(id, secret, how)
	if how == AuthJWT {
		err = x.server.checkClientJWT(p, id, secret, r.PostForm.Get("client_assertion_type"))
	}
	x.server.log.change(func(c *counts) {
		c.clientAuths[how]++
		if err != nil {
			c.badClients++
		}
	})
	return id, err
}

func (p *Policy) refuse(id, secret string, how ClientAuth) *oauthError {
	if how == authTwice {
		return badRequest("invalid_request", "more than one client authentication")
	}
	if !either(p.ClientAuth, how) {
		return invalidClient("the client authentication is not " + string(p.ClientAuth))
	}
	if p.Clients == nil {
		return nil
	}
	if want, known := p.Clients[id]; !known || secret != want {
		return invalidClient("unknown client or wrong secret")
	}
	return nil
}

func invalidClient(description string) *oauthError {
	return &oauthError{http.StatusUnauthorized, "invalid_client", description}
}
