package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/freshet-go/freshet/tokenstore"
)

// JWTBearer is a session that is vouched for by a JWT (RFC 7523 §2.1): that of a service
// account, or of a user whom another server has signed in. The program makes the JWT; the
// client asks for one whenever it needs a token.
type JWTBearer struct {
	// Assertion returns a JWT that has just been made: each is sent once, or again to
	// a server that can't have got it. It is required.
	Assertion func(ctx context.Context) (string, error)

	// Params are more members for the form of the request, such as audience.
	Params url.Values
}

const grantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

func (g JWTBearer) form(ctx context.Context, _ *tokenstore.Record, scope string) (url.Values, error) {
	assertion, err := g.Assertion(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: JWTBearer.Assertion: %w", err)
	case assertion == "":
		return nil, errors.New("client: JWTBearer.Assertion returned no JWT and no error")
	}
	form := newForm(g.Params, grantJWTBearer, scope)
	form.Set("assertion", assertion)
	return form, nil
}

func (g JWTBearer) fixed() url.Values { return g.Params }

// refreshable is false: another assertion renews the session (RFC 7521 §4.1).
func (JWTBearer) refreshable() bool { return false }

func (g JWTBearer) check(p *problems) {
	if g.Assertion == nil {
		p.add("Grant.Assertion is nil: give the func that makes the JWT")
	}
	p.params("Grant.Params", g.Params, "scope", "assertion")
}

func (g JWTBearer) clone() Grant { return JWTBearer{g.Assertion, cloneForm(g.Params)} }

// TokenExchange is a session whose tokens are had for another token (RFC 8693): a
// service that calls the next one for a user, or a workload that has a token of the
// platform on which it runs.
type TokenExchange struct {
	// Subject returns the token to exchange, valid now. It is called whenever the
	// client needs a token, and required.
	Subject func(ctx context.Context) (SubjectToken, error)

	// Actor returns the token of who acts for the subject. If nil, none is sent.
	Actor func(ctx context.Context) (SubjectToken, error)

	// Params are more members for the form of the request: audience, resource,
	// requested_token_type.
	Params url.Values
}

// A SubjectToken is a token of a [TokenExchange].
type SubjectToken struct {
	Token tokenstore.Secret
	Type  string // RFC 8693 §3. If empty, TypeAccessToken.
}

// The types of tokens that are exchanged most (RFC 8693 §3).
const (
	TypeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	TypeIDToken     = "urn:ietf:params:oauth:token-type:id_token"
	TypeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

const grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

func (g TokenExchange) form(ctx context.Context, _ *tokenstore.Record, scope string) (url.Values, error) {
	form := newForm(g.Params, grantTokenExchange, scope)
	if err := setToken(ctx, form, "subject_token", g.Subject); err != nil {
		return nil, fmt.Errorf("client: TokenExchange.Subject: %w", err)
	}
	if g.Actor == nil {
		return form, nil
	}
	if err := setToken(ctx, form, "actor_token", g.Actor); err != nil {
		return nil, fmt.Errorf("client: TokenExchange.Actor: %w", err)
	}
	return form, nil
}

func setToken(ctx context.Context, form url.Values, name string, get func(context.Context) (SubjectToken, error)) error {
	t, err := get(ctx)
	switch {
	case err != nil:
		return err
	case t.Token.IsZero():
		return errors.New("it returned no token and no error")
	case t.Type == "":
		t.Type = TypeAccessToken
	}
	form.Set(name, t.Token.Reveal())
	form.Set(name+"_type", t.Type)
	return nil
}

func (g TokenExchange) fixed() url.Values { return g.Params }

// refreshable is false: the subject's token renews the session.
func (TokenExchange) refreshable() bool { return false }

func (g TokenExchange) check(p *problems) {
	if g.Subject == nil {
		p.add("Grant.Subject is nil: give the func that returns the token to exchange")
	}
	p.params("Grant.Params", g.Params, "scope", "subject_token", "subject_token_type", "actor_token", "actor_token_type")
}

func (g TokenExchange) clone() Grant { return TokenExchange{g.Subject, g.Actor, cloneForm(g.Params)} }
