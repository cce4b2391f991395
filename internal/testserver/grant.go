package testserver

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The grant types.
const (
	grantRefresh  = "refresh_token"
	grantClient   = "client_credentials"
	grantCode     = "authorization_code"
	grantDevice   = "urn:ietf:params:oauth:grant-type:device_code"
	grantJWT      = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// granted is what a token request, or a login, brought.
type granted struct {
	account string
	access  string
	expires time.Time
	scope   string
	refresh string   // "" without one
	rotated Rotation // what to say of refresh
	idToken string

	issuedType string // of a token exchange
	bound      bool   // to a key (RFC 9449)
}

// refreshGrant carries out RFC 6749 §6.
func (t *tokenTable) refreshGrant(x *exchange, p *Policy, now time.Time, client string) (granted, *oauthError) {
	form := x.entry.Form
	t.mu.Lock()
	defer t.mu.Unlock()
	rt := t.refresh[form.Get("refresh_token")]
	if rt == nil {
		return granted{}, badRequest("invalid_grant", "the refresh token is unknown")
	}
	x.presented(rt)
	if fault := rt.fault(now, client); fault != "" {
		return granted{}, badRequest("invalid_grant", fault)
	}
	if rt.spent && !rt.inGrace(p, now) {
		t.reused(p, rt.session)
		return granted{}, badRequest("invalid_grant", "the refresh token was used before")
	}
	if rt.session.jkt != "" && rt.session.jkt != x.jkt {
		return granted{}, badRequest("invalid_grant", "the refresh token is bound to another key")
	}
	scope, err := narrowed(rt.session.scope, form.Get("scope"))
	if err != nil {
		return granted{}, err
	}
	resources, err := narrowResources(rt.session.resources, form["resource"])
	if err != nil {
		return granted{}, err
	}
	return t.renew(p, now, client, rt, scope, resources), nil
}

// presented notes whose refresh token came, and whether it had been spent.
func (x *exchange) presented(rt *refreshToken) {
	x.server.log.change(func(c *counts) {
		x.entry.Account = rt.session.account
		if rt.spent {
			x.entry.Reuse = true
			c.reused++
		}
	})
}

func (rt *refreshToken) fault(now time.Time, client string) string {
	owner := rt.session.client
	switch {
	case rt.session.ended:
		return "the session ended"
	case !rt.expires.IsZero() && !now.Before(rt.expires):
		return "the refresh token expired"
	case owner != "" && client != "" && owner != client:
		return "the refresh token is another client's"
	}
	return ""
}

// inGrace reports whether the spent rt is taken once more: within the window,
// and none of its successors used, so that it is the last but one.
func (rt *refreshToken) inGrace(p *Policy, now time.Time) bool {
	spent := func(rt *refreshToken) bool { return rt.spent }
	return now.Sub(rt.spentAt) < p.Grace && !slices.ContainsFunc(rt.next, spent)
}

func (t *tokenTable) reused(p *Policy, sess *session) {
	if p.Reuse == RevokeFamily {
		t.end(sess, true)
	}
}

// narrowed returns the scope that a refresh gets (RFC 6749 §6).
func narrowed(have, want string) (string, *oauthError) {
	if want == "" {
		return have, nil
	}
	for word := range strings.FieldsSeq(want) {
		if !slices.Contains(strings.Fields(have), word) {
			return "", badRequest("invalid_scope", "more than was granted")
		}
	}
	return want, nil
}

func (t *tokenTable) renew(p *Policy, now time.Time, client string, rt *refreshToken, scope string, resources []string) granted {
	sess := rt.session
	if sess.client == "" {
		sess.client = client
	}
	if p.KillOldAccess {
		sess.alive = t.serial + 1
	}
	g := t.issueAccess(p, now, sess, scope, resources)
	g.refresh, g.rotated = t.successor(p, now, rt).text, p.Rotation
	g.idToken = t.idToken(p, now, sess)
	return g
}

// successor returns the refresh token that works from now on.
func (t *tokenTable) successor(p *Policy, now time.Time, rt *refreshToken) *refreshToken {
	if rt.spent && !p.GraceNew {
		return rt.next[0]
	}
	if rt.spent {
		next := t.issueRefresh(p, now, rt.session)
		rt.next = append(rt.next, next)
		return next
	}
	if p.Rotation != Rotate {
		return rt
	}
	t.spend(rt, now)
	rt.next = []*refreshToken{t.issueRefresh(p, now, rt.session)}
	return rt.next[0]
}

// directGrant carries out a grant without a refresh token, as RFC 6749 §4.4 is, for an
// account.
func (t *tokenTable) directGrant(p *Policy, now time.Time, client, account string, form url.Values) (granted, *oauthError) {
	scope := cmp.Or(form.Get("scope"), p.scope())
	resources, err := narrowResources(nil, form["resource"])
	if err != nil {
		return granted{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issueAccess(p, now, &session{account: account, client: client, scope: scope}, scope, resources), nil
}
