package client

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A Grant begins a session without a user: [ClientCredentials]. Without a Grant a
// session begins with a refresh token.
type Grant interface {
	// form returns the members of a token request. scope is what the
	// configuration asks for.
	form(old *tokenstore.Record, scope string) (url.Values, error)

	// refreshable reports whether a refresh token is kept.
	refreshable() bool

	check(p *problems)
	clone() Grant
}

// refreshGrant renews a session with its refresh token (RFC 6749 §6).
type refreshGrant struct{ params url.Values }

var errNoRefreshToken = errors.New("client: the session has no refresh token")

func (g refreshGrant) form(old *tokenstore.Record, scope string) (url.Values, error) {
	if old.RefreshToken.IsZero() {
		return nil, &transport.RefreshError{Kind: transport.LoginRequired, Err: errNoRefreshToken}
	}
	form := cloneForm(g.params)
	if form == nil {
		form = make(url.Values)
	}
	form.Set("grant_type", "refresh_token")
	form.Set("refresh_token", old.RefreshToken.Reveal())
	if form.Has("scope") {
		narrow(form, cmp.Or(old.Scope, scope))
	}
	return form, nil
}

// narrow takes out of the form's scope what was not granted: a refresh must not
// ask for it (RFC 6749 §6). Without a scope it asks for all of it.
func narrow(form url.Values, granted string) {
	asked := strings.Fields(form.Get("scope"))
	if granted != "" {
		has := strings.Fields(granted)
		asked = slices.DeleteFunc(asked, func(s string) bool { return !slices.Contains(has, s) })
	}
	form.Set("scope", strings.Join(asked, " "))
	if len(asked) == 0 {
		form.Del("scope")
	}
}

func (refreshGrant) refreshable() bool { return true }
func (refreshGrant) check(*problems)   {}
func (g refreshGrant) clone() Grant    { return refreshGrant{cloneForm(g.params)} }

// ClientCredentials is the session of the program itself (RFC 6749 §4.4): it asks
// for Config.Scopes, and asks anew for each token.
type ClientCredentials struct {
	// Params are more members for the form of the request, such as audience or
	// resource.
	Params url.Values
}

func (g ClientCredentials) form(_ *tokenstore.Record, scope string) (url.Values, error) {
	form := cloneForm(g.Params)
	if form == nil {
		form = make(url.Values)
	}
	form.Set("grant_type", "client_credentials")
	if scope != "" {
		form.Set("scope", scope)
	}
	return form, nil
}

// refreshable is false: RFC 6749 §4.4.3 says that there should be no refresh
// token, and the grant renews the session by itself.
func (ClientCredentials) refreshable() bool { return false }

func (g ClientCredentials) check(p *problems) { p.params("Grant.Params", g.Params, "scope") }
func (g ClientCredentials) clone() Grant      { return ClientCredentials{cloneForm(g.Params)} }
