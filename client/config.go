package client

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A Config says which authorization server a [Client] uses, who it is there, and
// where its tokens are kept and may go. ClientID and Endpoint.TokenURL are
// required; the zero value of everything else is a good default. [New] checks it
// as a whole and keeps a copy.
//
// Printing a Config shows no secret, and encoding one is an error. But a struct
// of your own that has a Config in an unexported field is printed by fmt with
// everything in it: keep the [Client], which shows nothing.
type Config struct {
	// Issuer names the authorization server: an https URL (RFC 8414 §2), written
	// exactly as the server has it. Sessions are kept under it. It is enough for a
	// server that publishes its metadata (RFC 8414, or OpenID Connect Discovery):
	// that is read when a URL is first needed which is not set here. If empty,
	// Endpoint.TokenURL stands for it.
	Issuer string

	// Endpoint has the server's URLs. If its TokenURL is set, no metadata is read;
	// if it is not, what else is set here goes before what the metadata has. Its
	// AuthStyle counts where Auth is nil.
	Endpoint oauth2.Endpoint

	// RevocationURL is the server's revocation endpoint (RFC 7009), which
	// [Session.Logout] tells that the tokens are not used any more. If the server
	// has none, a logout is known here alone, and the tokens end at the server by
	// themselves.
	RevocationURL string

	// PushedURL is where the parameters of a login are sent before the user goes to
	// the server (RFC 9126). If the server has no such endpoint, they are in the URL
	// that the user opens.
	PushedURL string

	// ClientID and ClientSecret are what the server gave the program when it
	// was registered. Public clients have no secret.
	ClientID     string
	ClientSecret string

	// Auth is how the client authenticates. If nil, [ClientSecretBasic] with a
	// ClientSecret ([ClientSecretPost] if Endpoint.AuthStyle is
	// [oauth2.AuthStyleInParams]), and [None] without one.
	Auth Auth

	// Scopes is what a login or a Grant asks for. A refresh asks for no scope, which
	// is to say for what was granted (RFC 6749 §6).
	Scopes []string

	// Resources are the APIs for which the session's tokens are, as their server
	// names them: absolute URIs (RFC 8707 §2). They are sent with every request for a
	// token. If empty, the server decides. [Session.For] asks for tokens for one of
	// them.
	Resources []string

	// RedirectURL is where the server sends a user back to after a login, as it was
	// registered there (RFC 6749 §3.1.2). For a login in a web back end it is a page
	// of the program's, and required. For one on this machine it is a loopback
	// address, with a free port if it has none or 0; if empty,
	// http://127.0.0.1/callback (RFC 8252 §7.3).
	RedirectURL string

	// AccountOf names the account that has signed in, from the tokens that a login
	// brought: it reads a claim of rec.IDToken, which it verifies as examples/oidc
	// shows, or asks the server's API. It is called before anything is saved, by the
	// goroutine that finishes the login. If nil, a login must say beforehand whose it
	// is.
	AccountOf func(ctx context.Context, rec tokenstore.Record) (string, error)

	// Grant begins a session without a user. If nil, a session begins with a login or
	// [Session.Import].
	Grant Grant

	// Store keeps the sessions. If nil, they live as long as the Client.
	Store tokenstore.Store

	// DPoP binds tokens to keys, so that a stolen one is of no use (RFC 9449). If nil,
	// they are bearer tokens.
	DPoP *DPoP

	// Origins is where tokens may go: "https://api.example.com". If empty, to
	// the origin of every request that the program itself begins.
	Origins []string

	// DangerouslyAllowHTTP lists the origins to which tokens may go without
	// TLS. Loopback addresses need not be in it.
	DangerouslyAllowHTTP []string

	// Base sends the requests to the API. If nil, [http.DefaultTransport].
	Base http.RoundTripper

	// TokenClient sends the requests to the server. Its Transport is used and
	// its Timeout, if not zero, bounds a request to the server with all its
	// retries; its Jar and CheckRedirect are not used, since redirects are
	// never followed. It is not changed. If nil, or without a Transport, the
	// Client makes a transport of its own.
	TokenClient *http.Client

	// RefreshBefore is how long before its expiry a token is refreshed at the
	// most. If zero, [transport.DefaultRefreshBefore].
	RefreshBefore time.Duration

	// RefreshTimeout bounds a refresh. If zero,
	// [transport.DefaultRefreshTimeout].
	RefreshTimeout time.Duration

	// RefreshParams are more members for the form of a refresh request, such
	// as the redirect_uri that some servers want there. A scope among them asks
	// for a narrower token; what was not granted is left out of it. With a
	// Grant they are an error: it has its own.
	RefreshParams url.Values

	// TokenHeader has more headers for the requests to the token endpoint.
	TokenHeader http.Header

	// Retry says what follows a 401 of the API.
	Retry transport.Retry

	// Observer is told what happens. If nil, nobody is.
	Observer *transport.Observer

	// Logger gets a line for each event. If nil, nothing is logged.
	Logger *slog.Logger

	// Quirks is what the server does otherwise than the standards have it.
	Quirks Quirks
}

// FromOAuth2 returns the Config of a program that has one for x/oauth2. The way
// to authenticate comes from Endpoint.AuthStyle: Basic for AuthStyleInHeader, the
// form for AuthStyleInParams, and for AuthStyleAutoDetect Basic, since probing
// would spend a refresh token. Without a secret it is always [None].
func FromOAuth2(c *oauth2.Config) Config {
	if c == nil {
		return Config{} // New says what is missing
	}
	return Config{
		Endpoint:     c.Endpoint,
		ClientID:     c.ClientID,
		ClientSecret: c.ClientSecret,
		Scopes:       slices.Clone(c.Scopes),
	}
}

// issuer is the name under which sessions are kept.
func (c *Config) issuer() string {
	if c.Issuer != "" {
		return c.Issuer
	}
	return c.Endpoint.TokenURL
}

// server returns what knows the endpoints.
func (c *Config) server(base http.RoundTripper, g *guard, log *slog.Logger) *server {
	s := &server{
		fixed: endpoints{
			authorization: c.Endpoint.AuthURL,
			token:         c.Endpoint.TokenURL,
			revocation:    c.RevocationURL,
			device:        c.Endpoint.DeviceAuthURL,
			pushed:        c.PushedURL,
			s256:          c.Endpoint.TokenURL != "" || c.Quirks.UnannouncedPKCE,
		},
		base: base, guard: g, limit: c.tokenTimeout(), log: log,
		turn: make(chan struct{}, 1),
	}
	_, s.tls = c.Auth.(MutualTLS)
	if c.Endpoint.TokenURL == "" {
		s.issuer = c.Issuer
	}
	return s
}

func (c *Config) auth() Auth {
	switch {
	case c.Auth != nil:
		return c.Auth
	case c.ClientSecret == "":
		return None{}
	case c.Endpoint.AuthStyle == oauth2.AuthStyleInParams:
		return ClientSecretPost{}
	}
	return ClientSecretBasic{}
}

func (c *Config) grant() Grant {
	if c.Grant != nil {
		return c.Grant
	}
	return refreshGrant{c.RefreshParams}
}

func (c *Config) refreshTimeout() time.Duration {
	if c.RefreshTimeout == 0 {
		return transport.DefaultRefreshTimeout
	}
	return c.RefreshTimeout
}

// tokenTimeout bounds one request to the token endpoint with all its retries.
func (c *Config) tokenTimeout() time.Duration {
	if c.TokenClient != nil && c.TokenClient.Timeout > 0 {
		return c.TokenClient.Timeout
	}
	return c.refreshTimeout()
}

// tokenTransport is what the requests to the server go through, nil for one of
// the client's own.
func (c *Config) tokenTransport() http.RoundTripper {
	if c.TokenClient == nil {
		return nil
	}
	return c.TokenClient.Transport
}

func (c *Config) scope() string { return strings.Join(c.Scopes, " ") }

func (c *Config) transportConfig(source *transport.Source) transport.Config {
	return transport.Config{
		Source:               source,
		Base:                 c.Base,
		Origins:              c.Origins,
		DangerouslyAllowHTTP: c.DangerouslyAllowHTTP,
		Retry:                c.Retry,
	}
}

// clone returns a copy of c that shares nothing that its owner may change.
func (c Config) clone() Config {
	c.Scopes = slices.Clone(c.Scopes)
	c.Resources = slices.Clone(c.Resources)
	c.Origins = slices.Clone(c.Origins)
	c.DangerouslyAllowHTTP = slices.Clone(c.DangerouslyAllowHTTP)
	c.RefreshParams = cloneForm(c.RefreshParams)
	c.TokenHeader = c.TokenHeader.Clone()
	c.Quirks.BearerTypes = slices.Clone(c.Quirks.BearerTypes)
	if c.Grant != nil {
		c.Grant = c.Grant.clone()
	}
	if c.TokenClient != nil {
		hc := *c.TokenClient
		c.TokenClient = &hc
	}
	if c.DPoP != nil {
		d := *c.DPoP
		c.DPoP = &d
	}
	if c.Observer != nil {
		o := *c.Observer
		c.Observer = &o
	}
	return c
}

func cloneForm(form url.Values) url.Values {
	form = maps.Clone(form)
	for name, values := range form {
		form[name] = slices.Clone(values)
	}
	return form
}
