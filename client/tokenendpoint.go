package client

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

const (
	// maxAnswer is how much of an answer is read, decompressed.
	maxAnswer = 1 << 20

	// maxAnswerHeader is how long the headers of an answer may be.
	maxAnswerHeader = 64 << 10

	// idleTimeout is how long a connection to the server is kept for the next
	// request. It is shorter than what servers use: a request that meets a
	// connection which the server is just closing can't be told from one that
	// the server has acted on.
	idleTimeout = 3 * time.Second
)

// A tokenEndpoint asks a server's token endpoint (RFC 6749 §3.2) for tokens, or another
// endpoint at which the client authenticates in the same way. It never changes and is
// safe for concurrent use.
type tokenEndpoint struct {
	name      string // in errors
	server    *server
	url       func(endpoints) string
	issuer    string // the name under which sessions are kept
	identity  identity
	auth      Auth
	grant     Grant
	scope     string // what is asked for where a grant begins
	resources []string
	quirks    Quirks
	header    http.Header
	base      http.RoundTripper
	own       *http.Transport // base, where the program gave none
	timeout   time.Duration
	resends   int        // how often a request is sent again whose answer was lost
	keys      *proofKeys // nil without DPoP
	key       *proofKey  // proves who asks; nil where nobody needs to
	log       *slog.Logger
}

// newTokenEndpoint returns the token endpoint of c, which must be checked and
// nobody else's.
func newTokenEndpoint(c Config) *tokenEndpoint {
	e := &tokenEndpoint{
		name:      "token endpoint",
		url:       func(e endpoints) string { return e.token },
		issuer:    c.issuer(),
		identity:  identity{c.ClientID, tokenstore.NewSecret(c.ClientSecret), c.Quirks.RawBasic, c.issuer()},
		auth:      c.auth(),
		grant:     c.grant(),
		scope:     c.scope(),
		resources: c.Resources,
		quirks:    c.Quirks,
		header:    c.TokenHeader,
		timeout:   c.tokenTimeout(),
		resends:   1,
		log:       c.Logger,
		keys:      newProofKeys(c.DPoP),
	}
	var g *guard
	if e.base = c.tokenTransport(); e.base == nil {
		g = newGuard(c.issuer())
		e.own = newTokenTransport(g)
		if auth, ok := c.Auth.(MutualTLS); ok {
			e.own = auth.over(e.own)
		}
		e.base = e.own
	}
	if c.Quirks.NoLostAnswerRetry {
		e.resends = 0
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.server = c.server(e.base, g, e.log)
	return e
}

// other returns another endpoint of the server. Where its answers do no harm if they
// are lost, or cost nothing, resends is 1.
func (e *tokenEndpoint) other(name string, resends int, url func(endpoints) string) *tokenEndpoint {
	o := *e
	o.name, o.resends, o.url, o.key = name, resends, url, nil
	return &o
}

// provedBy returns the endpoint as it is asked with proofs of key (RFC 9449 §5).
func (e *tokenEndpoint) provedBy(key *proofKey) *tokenEndpoint {
	o := *e
	o.key = key
	return &o
}

// newTokenTransport returns the transport that is used where the program gives
// none.
func newTokenTransport(g *guard) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            g.dial,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: maxAnswerHeader,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    8,
		ForceAttemptHTTP2:      true,
	}
}

// closeIdle closes the idle connections, if they are the endpoint's own.
func (e *tokenEndpoint) closeIdle() {
	if e.own != nil {
		e.own.CloseIdleConnections()
	}
}

// refresh is the [transport.RefreshFunc] of the endpoint.
func (e *tokenEndpoint) refresh(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
	form, err := e.grant.form(ctx, &old, e.scope)
	if err != nil {
		return tokenstore.Record{}, err
	}
	if e.keys != nil {
		key, err := e.keys.keyFor(&old)
		if err != nil {
			return tokenstore.Record{}, err
		}
		e = e.provedBy(key)
	}
	e.aim(form, &old, target)
	a, err := e.post(ctx, form)
	if err != nil {
		return tokenstore.Record{}, err
	}
	a.hide(&old)
	return e.record(a, old, target, form.Get("scope"))
}

// post sends form and returns the server's answer, whatever it says. An error is
// a *[transport.RefreshError]: there is no answer.
func (e *tokenEndpoint) post(ctx context.Context, form url.Values) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	where, err := e.find(ctx)
	if err != nil {
		return nil, err
	}
	return e.postTo(ctx, where, form)
}

// find returns where the endpoint is.
func (e *tokenEndpoint) find(ctx context.Context) (string, error) {
	known, err := e.server.find(ctx)
	if err != nil {
		return "", err
	}
	where := e.url(known)
	if where == "" {
		return "", e.server.wrong(fmt.Errorf("client: the server has no %s: %w", e.name, errNoEndpoint))
	}
	return where, nil
}

// postTo is post where the URL is known.
func (e *tokenEndpoint) postTo(ctx context.Context, where string, form url.Values) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	x := &tokenRequest{ctx: ctx, endpoint: e, url: where, form: form, began: time.Now().Round(0)}
	if err := x.run(); err != nil {
		return nil, &transport.RefreshError{Kind: transport.Transient, OutcomeUnknown: x.unknown, Err: err}
	}
	x.answer.began, x.answer.from = x.began, e.name
	return x.answer, nil
}

// identified returns who the client is, to the audience that the server wants.
func (e *tokenEndpoint) identified(ctx context.Context) (identity, error) {
	id := e.identity
	if e.quirks.TokenEndpointAudience {
		known, err := e.server.find(ctx)
		if err != nil {
			return identity{}, err
		}
		id.audience = known.token
	}
	return id, nil
}

// request makes the request for one attempt: the proof of who the client is may
// be good for one alone.
func (e *tokenEndpoint) request(ctx context.Context, where string, form url.Values) (*http.Request, *body, error) {
	form = cloneForm(form)
	header := e.header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	header.Set("Accept", "application/json")
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	id, err := e.identified(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := e.auth.authenticate(id, form, header); err != nil {
		return nil, nil, err
	}
	b := newBody(ctx, form)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, where, b)
	if err != nil {
		return nil, nil, errNoRequest
	}
	req.Header = header
	req.ContentLength = int64(len(b.text))
	req.GetBody = b.again
	return req, b, nil
}
