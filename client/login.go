package client

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/transport"
)

// LoginOptions are what one login has beside the [Config]. Nil and the zero value are
// good defaults.
type LoginOptions struct {
	// Account is who is to sign in, by the program's own name. With Config.AccountOf
	// it is checked, and a login by somebody else is [ErrWrongAccount]; without, it is
	// taken for whoever signs in. If empty, AccountOf says who has.
	Account string

	// Params are more parameters of the authorization request: prompt, login_hint,
	// access_type.
	Params url.Values

	// Nonce asks for a nonce in the id_token and checks it (OpenID Connect Core
	// §3.1.2.1). If false, PKCE alone ties the answer to the login.
	Nonce bool

	// Demand is what an API wants of the login, beside what Config has; see [DemandOf].
	Demand *Demand

	// Timeout is how long the user has. If zero, ten minutes.
	Timeout time.Duration

	// Open shows the URL to the user, for a login on this machine. Its error ends the
	// login. If nil, the URL is written to os.Stderr and opened with [OpenBrowser].
	Open func(ctx context.Context, url string) error
}

const loginTimeout = 10 * time.Minute

func (o *LoginOptions) timeout() time.Duration {
	if o.Timeout == 0 {
		return loginTimeout
	}
	return o.Timeout
}

// The errors of a login that are the user's or the browser's doing; errors.Is finds
// them.
var (
	// ErrAccessDenied says that the user, or the server for him, refused what the
	// program asked for (RFC 6749 §4.1.2.1).
	ErrAccessDenied = errors.New("client: the login was refused: the program was not given access; sign in again to be asked once more")

	// ErrLoginExpired says that the user took too long.
	ErrLoginExpired = errors.New("client: the login took too long: begin it again")

	// ErrLoginUsed says that the login was finished before: a page was loaded again.
	ErrLoginUsed = errors.New("client: the login was finished already: where the user is not signed in, begin it again")

	// ErrWrongAccount says that another account signed in than was to. Its tokens are
	// not kept.
	ErrWrongAccount = errors.New("client: another account signed in than was asked for: sign out at the server, or choose the account there, and begin again")

	// ErrCallback says that a request to the redirect URI is not the answer to the
	// login: forged, from another login, or from another server. The login itself
	// goes on: its answer may still come.
	ErrCallback = errors.New("client: not the answer to this login")
)

// A Login is a login that has begun: the user is at the server, or about to be.
// [Client.BeginLogin] makes it, and [Client.FinishLogin] ends it. In between the
// program keeps it: in its session store, or in a cookie that is HttpOnly, Secure and
// SameSite=Lax. MarshalText makes text of it, and UnmarshalText a Login of the text.
//
// It holds secrets and must be kept for this one user's browser alone: that the answer
// comes with the Login of the same browser is what keeps an attacker's answer out (RFC
// 9700 §2.1). The zero Login is none. A Login never changes. Printed, it shows none of
// its secrets.
type Login struct{ p *pending }

// pending is what a Login has. The names are those of its text.
type pending struct {
	Issuer   string    `json:"issuer"` // of the Client
	ClientID string    `json:"client_id"`
	TokenURL string    `json:"token"` // where the code goes, whatever is discovered meanwhile
	TellsIss bool      `json:"iss,omitempty"`
	Redirect string    `json:"redirect_uri"`
	Account  string    `json:"account,omitempty"`
	State    string    `json:"state"`
	Verifier string    `json:"verifier"`
	Nonce    string    `json:"nonce,omitempty"`
	Key      string    `json:"dpop_key,omitempty"` // of the session's proofs
	Expiry   time.Time `json:"expiry"`

	url        string // where to send the user
	thumbprint string // of Key
	demand     *Demand
}

// URL returns the URL to which the user's browser is sent, once and soon. A Login that
// comes from text has none.
func (l *Login) URL() string { return l.pending().url }

// Expiry returns until when the login can be finished.
func (l *Login) Expiry() time.Time { return l.pending().Expiry }

func (l *Login) pending() *pending {
	if l == nil || l.p == nil {
		return new(pending)
	}
	return l.p
}

// String describes the login without its secrets.
func (l Login) String() string {
	return fmt.Sprintf("client.Login(at %q, expiry %s)", shownURL(l.pending().Issuer), l.Expiry().Format(time.RFC3339))
}

// Format prints what [Login.String] returns, for every verb.
func (l Login) Format(f fmt.State, _ rune) { io.WriteString(f, l.String()) }

// LogValue is what slog handlers print.
func (l Login) LogValue() slog.Value { return slog.StringValue(l.String()) }

// MarshalText returns the login as text for a cookie or a database: about a kilobyte of
// letters, digits, - and _, more with the key of a Config.DPoP that is not for ES256. The
// text holds the login's secrets.
func (l Login) MarshalText() ([]byte, error) {
	if l.p == nil {
		return nil, errNoLogin
	}
	b, err := json.Marshal(l.p)
	return base64.RawURLEncoding.AppendEncode(nil, b), err
}

var (
	errNoLogin   = errors.New("client: no login: the zero Login is none; BeginLogin makes one")
	errLoginText = errors.New("client: the text is not that of a Login")
)

// maxLogin is how long the text of a Login may be.
const maxLogin = 16 << 10

// UnmarshalText reads what MarshalText returned.
func (l *Login) UnmarshalText(text []byte) error {
	if len(text) > maxLogin {
		return errLoginText
	}
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	p := new(pending)
	if err != nil || json.Unmarshal(b, p) != nil || p.State == "" || p.Verifier == "" {
		return errLoginText
	}
	l.p = p
	return nil
}

// BeginLogin begins a login in a web back end: keep the Login for this browser, and
// redirect the browser to its URL. The server sends the user back to
// Config.RedirectURL, where [Client.FinishLogin] is called. Each login is a Login of
// its own; as many as there are users are under way at once.
//
// An error is a *[transport.RefreshError] where the server could not be asked, or
// refused (RFC 9126).
func (c *Client) BeginLogin(ctx context.Context, opts *LoginOptions) (*Login, error) {
	if c.cfg.RedirectURL == "" {
		return nil, errors.New("client: BeginLogin: Config.RedirectURL is empty: set it to the page of yours to which the server sends users back")
	}
	return c.beginLogin(ctx, opts, c.cfg.RedirectURL)
}

func (c *Client) beginLogin(ctx context.Context, opts *LoginOptions, redirect string) (*Login, error) {
	if opts == nil {
		opts = new(LoginOptions)
	}
	if err := c.checkLogin(opts); err != nil {
		return nil, err
	}
	known, err := c.endpoint.server.findFresh(ctx)
	switch {
	case err != nil:
		return nil, loginError(err)
	case known.authorization == "":
		return nil, loginError(c.endpoint.server.wrong(fmt.Errorf("the server has no authorization endpoint: %w", errNoEndpoint)))
	case !known.s256:
		return nil, loginError(c.endpoint.server.wrong(errNoPKCE))
	}
	p := &pending{
		Issuer: c.cfg.issuer(), ClientID: c.cfg.ClientID, TokenURL: known.token, TellsIss: known.tellsIss,
		Redirect: redirect, Account: opts.Account, demand: opts.Demand,
		State: randomText(), Verifier: oauth2.GenerateVerifier(),
		Expiry: time.Now().Add(opts.timeout()).UTC().Truncate(time.Millisecond),
	}
	if opts.Nonce {
		p.Nonce = randomText()
	}
	if c.endpoint.keys != nil {
		key, err := c.endpoint.keys.fresh()
		if err != nil {
			return nil, err
		}
		p.Key, p.thumbprint = key.kept.Reveal(), key.thumbprint
	}
	if p.url, err = c.authorizationURL(ctx, known, p, opts.Params); err != nil {
		return nil, loginError(err)
	}
	return &Login{p}, nil
}

var errNoPKCE = errors.New("the server's metadata does not announce PKCE with S256, without which a stolen code is a stolen session: if the server has it, set Config.Quirks.UnannouncedPKCE")

// checkLogin says why a login can't begin.
func (c *Client) checkLogin(opts *LoginOptions) error {
	var p problems
	p.params("Params", opts.Params, authorizationMembers...)
	p.duration("Timeout", opts.Timeout)
	opts.Demand.check(&p)
	switch {
	case c.isClosed():
		return transport.ErrClosed
	case c.cfg.Grant != nil:
		return errors.New("client: login: the sessions of this client begin with Config.Grant")
	case opts.Account == "" && c.cfg.AccountOf == nil:
		return errors.New("client: login: whose login is it? Set LoginOptions.Account, or Config.AccountOf to learn it from the tokens")
	case len(p) > 0:
		return errors.New(strings.ReplaceAll(p.err().Error(), "Config.", "LoginOptions."))
	}
	return nil
}

// randomText returns 256 random bits.
func randomText() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
