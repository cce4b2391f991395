package client

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A Session is one account's authorization: its tokens, kept fresh and kept in
// the store. [Client.Session] returns it; it is safe for concurrent use.
//
// It begins with Import, or by itself where the Client has a Grant. When it is
// over, or was never begun, every call that needs a token fails with an error
// that is [ErrLoginRequired].
type Session struct {
	client  *Client
	account string
	source  *transport.Source
	err     error // why the session can't be used, or nil

	target string               // of a view, as transports name it
	view   *transport.Transport // of a view; nil for that of the client
}

var errNoAccount = errors.New("client: Session(\"\"): an account is needed: give the name that the program has for its user, or set Config.Grant for a session of the program's own; on an http.Client for many users, put a session into the request's context with WithSession")

// sourceConfig is what all sessions have in common.
func (c *Client) sourceConfig() transport.SourceConfig {
	return transport.SourceConfig{
		Refresh:        c.endpoint.refresh,
		Issuer:         c.cfg.issuer(),
		ClientID:       c.cfg.ClientID,
		Revoke:         c.revoke,
		NeedsLogin:     c.cfg.Grant == nil,
		Store:          c.cfg.Store,
		KeyFor:         c.key,
		RefreshBefore:  c.cfg.RefreshBefore,
		RefreshTimeout: c.cfg.RefreshTimeout,
		Observer:       c.cfg.Observer,
		Logger:         c.cfg.Logger,
	}
}

// newSession returns the Session of a source, or of a new one if that is nil.
func (c *Client) newSession(account string, source *transport.Source) *Session {
	s := &Session{client: c, account: account, source: source}
	switch {
	case c.isClosed():
		s.err = transport.ErrClosed
	case account == "" && c.cfg.Grant == nil:
		s.err = errNoAccount
	}
	if source == nil {
		s.source = c.source.With(account)
	}
	return s
}

// Account returns the name that Session was given.
func (s *Session) Account() string { return s.account }

// Format prints whose session it is, for every verb.
func (s *Session) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "client.Session(%q)", s.account) }

// Import begins the session with tokens that came from elsewhere: an x/oauth2
// program, another library, a REFRESH_TOKEN in the environment. A token with a
// refresh token alone will do. Importing the same token again, at every start of
// a program, changes nothing: the session goes on with what became of it, and stays
// ended after a Logout.
// Another token begins a new session in place of the old one.
//
// From then on the refresh token belongs to Freshet: nobody else may spend it.
//
// If Import fails because the store does, call it again with the same token: where
// only saving failed, the session is in use from memory already, and then saved.
func (s *Session) Import(ctx context.Context, tok *oauth2.Token) error {
	if s.err != nil {
		return s.err
	}
	if s.client.cfg.Grant != nil {
		return errors.New("client: Import: the sessions of this client begin with Config.Grant")
	}
	if tok == nil || tok.RefreshToken == "" && tok.AccessToken == "" {
		return errors.New("client: Import: the token is empty: it needs a refresh token or an access token")
	}
	rec, err := transport.WithOAuth2(tokenstore.Record{}, "", tok)
	if err != nil {
		return fmt.Errorf("client: Import: %w", err)
	}
	for i := range rec.Access {
		rec.Access[i].Type = s.client.cfg.Quirks.tokenType(rec.Access[i].Type)
	}
	if keys := s.client.endpoint.keys; keys != nil {
		key, err := keys.fresh()
		if err != nil {
			return fmt.Errorf("client: Import: %w", err)
		}
		rec.DPoPKey = key.kept
	}
	seed := tok.RefreshToken
	if seed == "" {
		seed = tok.AccessToken
	}
	rec.Seed = hashOf(32, "seed", seed)
	return s.wrap(s.source.Set(ctx, rec))
}

// Token returns the session's access token, refreshed if need be.
func (s *Session) Token(ctx context.Context) (transport.Token, error) {
	if s.err != nil {
		return transport.Token{}, s.err
	}
	tok, err := s.source.Token(ctx, s.target)
	return tok, s.wrap(err)
}

// Refresh returns a token other than rejected, which an API refused; see
// [transport.Source.Refresh]. Programs that send their requests through
// HTTPClient, Wrap or Transport need not call it.
func (s *Session) Refresh(ctx context.Context, rejected transport.Token) (transport.Token, error) {
	if s.err != nil {
		return transport.Token{}, s.err
	}
	if !rejected.IsZero() && rejected.Target() != s.target {
		return transport.Token{}, s.wrap(errOtherTarget)
	}
	if rejected.IsZero() {
		return s.Token(ctx)
	}
	tok, err := s.source.Refresh(ctx, rejected)
	return tok, s.wrap(err)
}

var errOtherTarget = errors.New("client: Refresh: the token is for another target: ask the view that it came from")

// TokenSource returns the session as the interface of x/oauth2, for libraries
// that want one: Google's, gRPC's and many others. Its tokens have no refresh
// token, so that nobody else spends it. With Config.DPoP every call is an error. A
// call takes no longer than twice the RefreshTimeout.
//
// A library that takes a TokenSource does not tell it about a 401, so a token that
// is revoked early is handed out until it expires; and many, oauth2.NewClient
// among them, cache what they get in an [oauth2.ReuseTokenSource]. Where a library
// takes an http.Client too, give it [Session.HTTPClient].
func (s *Session) TokenSource() oauth2.TokenSource { return tokenSource{s} }

type tokenSource struct{ s *Session }

var errNoSource = errors.New("client: TokenSource: with Config.DPoP a token is of no use without a proof for each request: use HTTPClient")

func (t tokenSource) Token() (*oauth2.Token, error) {
	if t.s.client.endpoint.keys != nil {
		return nil, t.s.wrap(errNoSource)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*t.s.client.cfg.refreshTimeout())
	defer cancel()
	tok, err := t.s.Token(ctx)
	if err != nil {
		return nil, err
	}
	return tok.OAuth2(), nil
}

// Status returns how the session stands, for health checks. It does no I/O.
func (s *Session) Status() transport.Status { return s.source.Status() }

// Forget deletes the session's record from the store and from memory, without a
// word to the server; see [transport.Source.Forget]. To sign the account out, use
// Logout.
func (s *Session) Forget(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	return s.wrap(s.source.Forget(ctx))
}

// wrap adds to err whose session it is about.
func (s *Session) wrap(err error) error { return wrap(err, s.account) }

func wrap(err error, account string) error {
	if err == nil || account == "" {
		return err
	}
	return fmt.Errorf("client: session %q: %w", account, err)
}
