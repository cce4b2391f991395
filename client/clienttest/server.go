// Package clienttest is an authorization server and a protected API for the
// tests of programs that use Freshet. It speaks real HTTP, can be told to fail
// in the ways that real servers do, and answers afterwards what came.
//
//	srv := clienttest.NewServer()
//	defer srv.Close()
//	c, err := client.New(srv.Config())
//	// …
//	alice := c.Session("alice")
//	err = srv.SignIn(ctx, alice)
//
// If it is not told otherwise, it is as strict as servers get: a refresh token
// works once, and one that comes again ends the session.
//
// A server of [NewServer] lives in memory. It needs no network, and time in a
// bubble of testing/synctest goes on as if nothing were waited for: create it
// inside the bubble and close it there, and close the body of every response: a
// bubble does not end while a connection is in use.
package clienttest

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/testserver"
)

// A Server is an authorization server and a protected API. Make it with
// [NewServer] or [NewLoopbackServer], and close it. It is safe for concurrent
// use.
type Server struct{ srv *testserver.Server }

// NewServer starts a server in memory. Programs reach it with the Base and the
// TokenClient of [Server.Config], whatever host the URL has: https://auth.test is
// the authorization server, https://api.test and every other host the API.
func NewServer() *Server { return start(testserver.New()) }

// NewLoopbackServer starts a server that listens on 127.0.0.1, for programs that
// are given a URL.
func NewLoopbackServer() *Server { return start(testserver.NewLoopback()) }

// The registration that [Server.Config] has; the server knows no other client.
const (
	ClientID     = "clienttest"
	ClientSecret = "clienttest-secret"
)

func start(srv *testserver.Server) *Server {
	srv.UpdatePolicy(func(p *testserver.Policy) {
		p.Clients = map[string]string{ClientID: ClientSecret}
	})
	return &Server{srv}
}

// Close stops the server and returns when its goroutines have ended. Close the
// [client.Client] first.
func (s *Server) Close() { s.srv.Close() }

// Config returns the configuration of a client that is registered at the server
// and reaches it: change what the test is about and give it to [client.New]. The
// token goes to the server's API alone.
func (s *Server) Config() client.Config {
	return client.Config{
		Issuer:        s.srv.Issuer(),
		Endpoint:      oauth2.Endpoint{AuthURL: s.srv.AuthURL(), DeviceAuthURL: s.srv.DeviceURL(), TokenURL: s.srv.TokenURL()},
		RevocationURL: s.srv.RevocationURL(),
		ClientID:      ClientID,
		ClientSecret:  ClientSecret,
		Origins:       []string{s.srv.APIURL("")},
		Base:          s.srv.Transport(),
		TokenClient:   s.srv.Client(),
	}
}

// APIURL returns the URL of path at the API, which answers every path and method
// with a JSON object: method, path, account, and the length and SHA-256 of the
// body. path begins with a slash.
func (s *Server) APIURL(path string) string { return s.srv.APIURL(path) }

// TokenURL returns the URL of the token endpoint.
func (s *Server) TokenURL() string { return s.srv.TokenURL() }

// HTTPClient returns a client that reaches the server and sends no tokens: what
// a program has before Freshet wraps it.
func (s *Server) HTTPClient() *http.Client { return s.srv.Client() }

// SignIn begins a session for s at the server, as a login would.
func (s *Server) SignIn(ctx context.Context, session *client.Session) error {
	return session.Import(ctx, s.NewToken(session.Account()))
}

// NewToken begins a session of account at the server and returns its tokens, as
// a login by other means would: for programs that import one.
func (s *Server) NewToken(account string) *oauth2.Token {
	tokens := s.srv.BeginSession(account)
	tok := &oauth2.Token{
		AccessToken: tokens.AccessToken, RefreshToken: tokens.RefreshToken,
		TokenType: tokens.TokenType, Expiry: time.Now().Add(tokens.ExpiresIn),
	}
	return tok.WithExtra(map[string]any{"scope": tokens.Scope, "id_token": tokens.IDToken})
}

// RevokeAccessTokens makes the API refuse every access token issued so far. The
// sessions live on: a refresh brings a token that works.
func (s *Server) RevokeAccessTokens() { s.srv.RevokeAllAccess() }

// RotateNonces makes the server demand other DPoP nonces than those so far.
func (s *Server) RotateNonces() { s.srv.RotateNonces() }

// RevokeSession ends the sessions of account: a refresh is refused from now on
// (invalid_grant), and so are their access tokens.
func (s *Server) RevokeSession(account string) { s.srv.EndSession(account) }

// A Policy is what the server does as a rule. The zero value is a strict server.
type Policy struct {
	// AccessLifetime is how long an access token works. If zero, an hour.
	AccessLifetime time.Duration

	// RefreshLifetime is how long a refresh token works. If zero, for ever.
	RefreshLifetime time.Duration

	// KeepRefreshToken says that a refresh token can be used again and again.
	// If false, each refresh brings another, and one that comes twice ends the
	// session.
	KeepRefreshToken bool

	// Grace is how long a refresh token is taken once more after its use.
	Grace time.Duration

	// ForgiveReuse refuses a refresh token that comes again, and ends nothing.
	// If false, reuse ends the session.
	ForgiveReuse bool

	// ClockSkew is how far the server's clock is ahead; negative, behind.
	ClockSkew time.Duration

	// KillOldAccess makes older access tokens die at a refresh, as they do at
	// many servers.
	KillOldAccess bool

	// Latency is how long the token endpoint takes.
	Latency time.Duration

	// PollInterval is how long the server has a device wait between two questions. It
	// is told in whole seconds, and at least one. If zero, 5 seconds.
	PollInterval time.Duration

	// IDToken adds an id_token to the answers, signed with a key that the server's
	// metadata leads to: its claims are iss, sub, which is the account, aud, email,
	// iat, exp and nonce.
	IDToken bool

	// DPoP refuses token requests without a proof of possession (RFC 9449). If false,
	// tokens are bound where the program sends one; either way the API checks proofs
	// strictly.
	DPoP bool

	// DPoPNonce demands nonces in proofs, at both ends; see [Server.RotateNonces].
	DPoPNonce bool

	// Members replaces or adds members of token answers. The values are JSON
	// text: {"expires_in": `"3600"`, "refresh_token": "null"}.
	Members map[string]string
}

// SetPolicy replaces the policy, from the next request on.
func (s *Server) SetPolicy(p Policy) {
	s.srv.UpdatePolicy(func(to *testserver.Policy) {
		to.AccessLifetime, to.RefreshLifetime = p.AccessLifetime, p.RefreshLifetime
		to.Rotation = testserver.Rotate
		if p.KeepRefreshToken {
			to.Rotation = testserver.KeepRepeated
		}
		to.Grace, to.KillOldAccess = p.Grace, p.KillOldAccess
		to.Reuse, to.ClockSkew = testserver.RevokeFamily, p.ClockSkew
		if p.ForgiveReuse {
			to.Reuse = testserver.RefuseReuse
		}
		to.TokenLatency, to.Members = p.Latency, p.Members
		to.IDToken, to.PollInterval = p.IDToken, p.PollInterval
		to.DPoP, to.DPoPNonce = p.DPoP, p.DPoPNonce
		if p.PollInterval != 0 {
			to.PollInterval = max(p.PollInterval.Truncate(time.Second), time.Second)
		}
	})
}
