package transport

import (
	"cmp"
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
)

// A RefreshFunc makes the next record of a session from the last one, by asking
// a server for an access token for target ("" is the session's own).
//
// old is the zero Record where the session begins; it is the func's to change
// and return. The func sets the tokens, their times and what else the answer
// tells, and leaves Session, Generation and Ended alone. Where it returns no
// refresh token the last one goes on (RFC 6749 §6). It is called with the
// store's exclusion held, never twice at once for a session, with a context
// that no caller of the Source can cancel. That context bounds it: nothing may
// be sent after it is over.
//
// A *[RefreshError] says what kind of failure it was; any other error is
// transient. Where an answer brought a new refresh token and something else in
// it was wrong, the func returns the record with that refresh token and the
// error: the record is saved with the access tokens of the last one, and the
// callers get the error.
type RefreshFunc func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error)

// FromTokenFunc makes a RefreshFunc of a function in the x/oauth2 manner: for an
// STS, a GitHub App, a refresh written by hand. old is the last token, nil at
// first; a refresh token in it is the only one that may be sent. For an
// [oauth2.TokenSource], give a func that ignores old:
//
//	transport.FromTokenFunc(func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
//		return source.Token()
//	})
//
// A source that caches its token can't recover from a 401; the same token coming
// back is an error that says so. Targets are not passed on.
//
// An error of f is transient, and f is called again after a pause. Where the
// server says that the session is over, return a *[RefreshError] of kind
// [LoginRequired], or an error that is [ErrLoginRequired]: only f knows how its
// server says so. With x/oauth2 that is an *oauth2.RetrieveError whose ErrorCode
// is "invalid_grant".
func FromTokenFunc(f func(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error)) RefreshFunc {
	if f == nil {
		return nil // which NewSource refuses
	}
	return func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
		last := lastToken(&old, target)
		tok, err := f(ctx, last)
		if tok == nil {
			return tokenstore.Record{}, cmp.Or(err, errNoToken)
		}
		made, bad := WithOAuth2(old, target, tok) // also with an error: there may be a new refresh token
		switch {
		case err != nil:
			return made, err
		case tok.AccessToken == "":
			return made, errNoToken
		case last != nil && tok.AccessToken == last.AccessToken && tok.Expiry.Unix() == last.Expiry.Unix():
			return made, errSameToken
		}
		return made, bad
	}
}

var errSameToken = errors.New("the token func returned the same access token again: " +
	"a source that caches can't renew a token early or after a 401; give the one below its cache")

// WithOAuth2 returns rec with the tokens of tok in it: the access token for
// target, and the refresh token and the id_token where tok has them. It is an
// error if a token has a character that no token has. rec itself stays as it is.
func WithOAuth2(rec tokenstore.Record, target string, tok *oauth2.Token) (tokenstore.Record, error) {
	if tok == nil {
		return tokenstore.Record{}, errors.New("transport: WithOAuth2: the token is nil")
	}
	rec = rec.Clone()
	if tok.RefreshToken != "" {
		if err := tokenstore.CheckToken(tok.RefreshToken); err != nil {
			return tokenstore.Record{}, err
		}
		rec.RefreshToken = tokenstore.NewSecret(tok.RefreshToken)
	}
	if id, _ := tok.Extra("id_token").(string); id != "" {
		rec.IDToken = tokenstore.NewSecret(id)
	}
	if tok.AccessToken == "" {
		return rec, nil
	}
	if err := tokenstore.CheckToken(tok.AccessToken); err != nil {
		return rec, err
	}
	scope, _ := tok.Extra("scope").(string)
	rec.SetToken(tokenstore.AccessToken{
		Target: target, Token: tokenstore.NewSecret(tok.AccessToken), Type: tok.TokenType,
		Issued: time.Now().Round(0), Expiry: tok.Expiry.Round(0), Scope: scope,
	})
	return rec, nil
}

// lastToken returns the access token of rec for target in the x/oauth2 type, or
// nil.
func lastToken(rec *tokenstore.Record, target string) *oauth2.Token {
	t, ok := rec.Token(target)
	if !ok && rec.RefreshToken.IsZero() {
		return nil
	}
	return &oauth2.Token{
		AccessToken: t.Token.Reveal(), TokenType: t.Type, Expiry: t.Expiry,
		RefreshToken: rec.RefreshToken.Reveal(),
	}
}
