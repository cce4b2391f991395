package client

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A Grant begins a session without a user: [ClientCredentials], [JWTBearer] or
// [TokenExchange]. Without a Grant a session begins with a login or a refresh token.
type Grant interface {
	// form returns the members of a token request. scope is what the
	// configuration asks for.
	form(ctx context.Context, old *tokenstore.Record, scope string) (url.Values, error)

	// fixed returns the members that are the same in every request.
	fixed() url.Values

	// refreshable reports whether a refresh token is kept.
	refreshable() bool

	check(p *problems)
	clone() Grant
}

// refreshGrant renews a session with its refresh token (RFC 6749 §6).
type refreshGrant struct{ params url.Values }

var errNoRefreshToken = errors.New("client: the session has no refresh token")

func (g refreshGrant) form(_ context.Context, old *tokenstore.Record, scope string) (url.Values, error) {
	if old.RefreshToken.IsZero() {
		return nil, &transport.RefreshError{Kind: transport.LoginRequired, Err: errNoRefreshToken}
	}
	form := newForm(g.params, "refresh_token", "")
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

func (g refreshGrant) fixed() url.Values { return g.params }
func (refreshGrant) refreshable() bool   { return true }
func (refreshGrant) check(*problems)     {}
func (g refreshGrant) clone() Grant      { return refreshGrant{cloneForm(g.params)} }

// newForm returns the form of a token request: more, and what every one has.
func newForm(more url.Values, grantType, scope string) url.Values {
	form := cloneForm(more)
	if form == nil {
		form = make(url.Values)
	}
	form.Set("grant_type", grantType)
	if scope != "" {
		form.Set("scope", scope)
	}
	return form
}

// ClientCredentials is the session of the program itself (RFC 6749 §4.4): it asks
// for Config.Scopes, and asks anew for each token.
type ClientCredentials struct {
	// Params are more members for the form of the request, such as audience or
	// resource.
	Params url.Values
}

func (g ClientCredentials) form(_ context.Context, _ *tokenstore.Record, scope string) (url.Values, error) {
	return newForm(g.Params, "client_credentials", scope), nil
}

func (g ClientCredentials) fixed() url.Values { return g.Params }

// refreshable is false: RFC 6749 §4.4.3 says that there should be no refresh
// token, and the grant renews the session by itself.
func (ClientCredentials) refreshable() bool { return false }

func (g ClientCredentials) check(p *problems) { p.params("Grant.Params", g.Params, "scope") }
func (g ClientCredentials) clone() Grant      { return ClientCredentials{cloneForm(g.Params)} }
