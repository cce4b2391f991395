package client

import (
	"context"
	"errors"
	"net/url"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// ErrNotRevoked is what errors.Is finds in the error of a Logout that the server
// does not know of: its tokens are still valid there. It is
// [transport.ErrNotRevoked].
var ErrNotRevoked = transport.ErrNotRevoked

// Logout signs the account out, here and in every process that shares the store.
// It revokes the session's tokens at the server, if Config.RevocationURL is set, and
// then ends the session, whether or not the server could be reached; see
// [transport.Source.Logout] for what that means for refreshes that are under way.
// From then on every call that needs a token fails with [ErrLoginRequired], until
// the next login; a session of Config.Grant, which needs none, until [Session.Forget].
// To import the token with which the session began does not bring
// it back, since the server may know that token still.
//
// An error that is [ErrNotRevoked] says that nobody is signed in any more and that
// the tokens are still valid at the server: it was away, or refused; with errors.As
// a *[transport.RefreshError] says what that was, and a *[ServerError] what the
// server said. A *[transport.RefreshError] of kind StoreFailed says that the end of
// the session is not stored yet. The logout goes on if ctx is over first.
func (s *Session) Logout(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	return s.wrap(s.source.Logout(ctx))
}

// revocation returns the endpoint of RFC 7009 §2. A lost answer is made good by asking
// once more.
func (e *tokenEndpoint) revocation() *tokenEndpoint {
	return e.other("revocation endpoint", 1, func(e endpoints) string { return e.revocation })
}

// revoke is the Revoke of a [transport.SourceConfig]: the refresh token first, with
// which servers end the whole session, then the access tokens.
func (e *tokenEndpoint) revoke(ctx context.Context, rec tokenstore.Record) error {
	if _, err := e.find(ctx); errors.Is(err, errNoEndpoint) {
		return nil // the tokens end by themselves
	}
	if err := e.revokeToken(ctx, &rec, rec.RefreshToken, "refresh_token"); err != nil {
		return err
	}
	var errs []error
	for _, t := range rec.Access {
		errs = append(errs, e.revokeToken(ctx, &rec, t.Token, "access_token"))
	}
	return errors.Join(errs...)
}

// revokeToken makes one request of RFC 7009 §2.1. Every 200 is a success, for a
// token that the server does not know as well (§2.2). A server that can't revoke
// access tokens says so (§2.2.1), and they end by themselves.
func (e *tokenEndpoint) revokeToken(ctx context.Context, rec *tokenstore.Record, token tokenstore.Secret, hint string) error {
	if token.IsZero() {
		return nil
	}
	a, err := e.post(ctx, url.Values{"token": {token.Reveal()}, "token_type_hint": {hint}})
	if err != nil {
		return err
	}
	a.secrets = append(a.secrets, secretsOfForm(e.grant.fixed())...) // the server has seen these, too
	a.hide(rec)
	if a.status/100 == 2 || hint == "access_token" && a.code() == "unsupported_token_type" {
		return nil
	}
	re := a.failure()
	if re.Kind != transport.Misconfigured {
		re.Kind, re.Doubtful, re.RetryAfter = transport.Transient, false, a.retryAfter
	}
	return re
}
