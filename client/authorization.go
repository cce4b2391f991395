package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/oauth2"
)

// authorizationMembers are the parameters of an authorization request that only the
// client itself sets, beside those of every request.
var authorizationMembers = []string{
	"response_type", "response_mode", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method", "nonce",
	"dpop_jkt", "resource", "request", "request_uri",
}

// authorizationRequest returns the parameters of RFC 6749 §4.1.1 and RFC 7636 §4.3.
func (c *Client) authorizationRequest(p *pending, more url.Values) url.Values {
	form := cloneForm(more)
	if form == nil {
		form = make(url.Values)
	}
	form.Set("response_type", "code")
	form.Set("client_id", p.ClientID)
	form.Set("redirect_uri", p.Redirect)
	form.Set("state", p.State)
	form.Set("code_challenge", oauth2.S256ChallengeFromVerifier(p.Verifier))
	form.Set("code_challenge_method", "S256")
	if scope := c.cfg.scope(); scope != "" {
		form.Set("scope", scope)
	}
	p.demand.ask(form)
	if p.Nonce != "" {
		form.Set("nonce", p.Nonce)
	}
	if p.thumbprint != "" {
		form.Set("dpop_jkt", p.thumbprint) // RFC 9449 §10
	}
	if len(c.cfg.Resources) > 0 {
		form["resource"] = slices.Clone(c.cfg.Resources)
	}
	return form
}

// authorizationURL returns where to send the user. If the server takes the parameters
// beforehand, it gets them so, and the URL has only a reference (RFC 9126 §4): nobody
// can read or change them on the way. Where that fails there is no login, rather than
// one that shows them.
func (c *Client) authorizationURL(ctx context.Context, known endpoints, p *pending, more url.Values) (string, error) {
	form := c.authorizationRequest(p, more)
	switch {
	case known.pushed != "":
		reference, err := c.push(ctx, known.pushed, form)
		if err != nil {
			return "", err
		}
		form = url.Values{"client_id": {p.ClientID}, "request_uri": {reference}}
	case known.mustPush:
		return "", c.endpoint.server.wrong(errors.New("the server demands pushed authorization requests, and its metadata has no endpoint for them: set Config.PushedURL"))
	}
	u, err := url.Parse(known.authorization)
	if err != nil {
		return "", errNoRequest
	}
	query := u.Query() // it stays (RFC 6749 §3.1)
	for name, values := range form {
		query[name] = values
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// push sends an authorization request to the server (RFC 9126 §2.1), and returns the
// reference for it.
func (c *Client) push(ctx context.Context, where string, form url.Values) (string, error) {
	e := c.endpoint.other("pushed authorization request endpoint", 1, nil)
	a, err := e.postTo(ctx, where, form)
	if err != nil {
		return "", err
	}
	reference, ok := a.members.text("request_uri")
	switch {
	case a.status != http.StatusCreated: // RFC 9126 §2.2
		return "", a.failure()
	case !ok || reference == "" || a.fault != nil:
		return "", e.server.wrong(a.wrong("the answer has no request_uri"))
	}
	return reference, nil
}
