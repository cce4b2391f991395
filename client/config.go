package client

import (
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
	// Issuer names the authorization server: an https URL (RFC 8414 §2).
	// Sessions are kept under it. If empty, Endpoint.TokenURL stands for it.
	Issuer string

	// Endpoint has the server's URLs. Its AuthStyle counts where Auth is nil.
	Endpoint oauth2.Endpoint

	// RevocationURL is the server's revocation endpoint (RFC 7009), which
	// [Session.Logout] tells that the tokens are not used any more. If empty, a
	// logout is known here alone, and the tokens end at the server by
	// themselves.
	RevocationURL string

	// ClientID and ClientSecret are what the server gave the program when it
	// was registered. Public clients have no secret.
	ClientID     string
	ClientSecret string

	// Auth is how the client authenticates. If nil, [ClientSecretBasic] with a
	// ClientSecret ([ClientSecretPost] if Endpoint.AuthStyle is
	// [oauth2.AuthStyleInParams]), and [None] without one.
	Auth Auth

	// Scopes is what a Grant asks for. A refresh asks for no scope, which is to
	// say for what was granted (RFC 6749 §6).
	Scopes []string

	// Grant begins a session without a user. If nil, a session begins with
	// [Session.Import].
	Grant Grant

	// Store keeps the sessions. If nil, they live as long as the Client.
	Store tokenstore.Store

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

// Quirks are departures of a server from the standards, or from what most
// servers do. The zero value is a server without any.
type Quirks struct {
	// RawBasic puts client id and secret into Basic authentication as they
	// are, for servers that do not decode them. If false they are form-encoded
	// first (RFC 6749 §2.3.1).
	RawBasic bool

	// NoLostAnswerRetry keeps a refresh whose answer was lost on a broken
	// connection from being sent again at once. If false it is sent once more:
	// that saves the session if the server did not act, and also if it did and
	// takes a refresh token a second time for a while.
	NoLostAnswerRetry bool
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

// transport returns what the Transports of all sessions are made of. Its Source is
// nobody's.
func (c *Config) transport(refresh transport.RefreshFunc) (*transport.Transport, error) {
	source, err := transport.NewSource(transport.SourceConfig{Refresh: refresh})
	if err != nil {
		return nil, err
	}
	return transport.New(transport.Config{
		Source:               source,
		Base:                 c.Base,
		Origins:              c.Origins,
		DangerouslyAllowHTTP: c.DangerouslyAllowHTTP,
		Retry:                c.Retry,
	})
}

// clone returns a copy of c that shares nothing that its owner may change.
func (c Config) clone() Config {
	c.Scopes = slices.Clone(c.Scopes)
	c.Origins = slices.Clone(c.Origins)
	c.DangerouslyAllowHTTP = slices.Clone(c.DangerouslyAllowHTTP)
	c.RefreshParams = cloneForm(c.RefreshParams)
	c.TokenHeader = c.TokenHeader.Clone()
	if c.Grant != nil {
		c.Grant = c.Grant.clone()
	}
	if c.TokenClient != nil {
		hc := *c.TokenClient
		c.TokenClient = &hc
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
