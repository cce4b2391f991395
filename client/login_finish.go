package client

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// FinishLogin ends a login in a web back end. login is the one that BeginLogin made for
// this browser, and params what came with the request to Config.RedirectURL:
// r.URL.Query(). It returns the session of who has signed in, kept in the store.
//
// An error that is [ErrCallback] leaves the login as it is. After every other one
// another must begin: [ErrAccessDenied], [ErrLoginExpired], [ErrLoginUsed],
// [ErrWrongAccount], a *[transport.RefreshError] where the server could not be asked or
// refused the code, a *[ServerError] in it or by itself for what the server said. If
// the error is a RefreshError of kind StoreFailed, the session is in use, and saved
// later.
func (c *Client) FinishLogin(ctx context.Context, login *Login, params url.Values) (*Session, error) {
	p := login.pending()
	if err := p.check(params); err != nil {
		return nil, err
	}
	switch {
	case p.Issuer != c.cfg.issuer() || p.ClientID != c.cfg.ClientID:
		return nil, errors.New("client: FinishLogin: the Login is another Client's")
	case c.isClosed():
		return nil, transport.ErrClosed
	case !c.use(p):
		return nil, ErrLoginUsed
	}
	if err := refusal(params); err != nil {
		return nil, err
	}
	rec, err := c.redeem(ctx, p, params.Get("code"))
	if err != nil {
		return nil, loginError(err)
	}
	return c.signIn(ctx, p, rec)
}

// check says why a request to the redirect URI is not the answer to the login. state is
// looked at before anything else (RFC 6749 §10.12), and then whether the answer is from
// the server that was asked (RFC 9207 §2.4).
func (p *pending) check(params url.Values) error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrCallback, what) }
	state := params["state"]
	switch {
	case p.State == "":
		return errNoLogin
	case len(state) != 1 || subtle.ConstantTimeCompare([]byte(state[0]), []byte(p.State)) != 1:
		return bad("its state is another; it may come from another tab, or from somebody else")
	case !time.Now().Round(0).Before(p.Expiry):
		return ErrLoginExpired
	}
	for _, name := range []string{"code", "error", "iss", "error_description", "error_uri"} {
		if len(params[name]) > 1 { // RFC 6749 §3.1
			return bad("it has a parameter twice")
		}
	}
	iss := params["iss"]
	switch {
	case len(iss) > 0 && p.Issuer != p.TokenURL && iss[0] != p.Issuer: // a token URL is no issuer
		return bad("it is from another server (iss)")
	case len(iss) == 0 && p.TellsIss:
		return bad("it does not say from which server it is, as this one does (iss)")
	case !params.Has("code") && !params.Has("error"), params.Has("code") && params.Has("error"):
		return bad("it has to have either a code or an error")
	}
	return nil
}

// use reports whether p was not used before, and notes that it is now: a page that is
// loaded again would spend the code a second time, for which servers end the session
// (RFC 6749 §4.1.2).
func (c *Client) use(p *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, used := c.used[p.State]; used {
		return false
	}
	if c.used == nil {
		c.used = make(map[string]time.Time)
	}
	if len(c.used) >= c.sweepAt { // seldom: sessions wait for the lock
		now := time.Now()
		maps.DeleteFunc(c.used, func(_ string, expiry time.Time) bool { return now.After(expiry) })
		c.sweepAt = max(1024, 2*len(c.used))
	}
	c.used[p.State] = p.Expiry
	return true
}

// refusal returns the error of an error response (RFC 6749 §4.1.2.1), or nil.
func refusal(params url.Values) error {
	if !params.Has("error") {
		return nil
	}
	se := &ServerError{
		from:        "authorization endpoint",
		Code:        clean(params.Get("error"), nil, maxCode),
		Description: clean(params.Get("error_description"), nil, maxDescription),
		URI:         clean(params.Get("error_uri"), nil, maxShownURI),
	}
	if se.Code == "access_denied" {
		return fmt.Errorf("%w: %w", ErrAccessDenied, se)
	}
	return fmt.Errorf("client: the login failed at the server: %w", se)
}

// redeem makes the first record of a session of an authorization code (RFC 6749
// §4.1.3). It is asked once: an answer that is lost is not asked for again, since a code
// that comes twice ends what the first one brought (§4.1.2).
func (c *Client) redeem(ctx context.Context, p *pending, code string) (tokenstore.Record, error) {
	e, err := c.loginEndpoint(tokenstore.NewSecret(p.Key))
	if err != nil {
		return tokenstore.Record{}, err
	}
	switch where, err := e.find(ctx); {
	case err != nil:
		return tokenstore.Record{}, err
	case where != p.TokenURL:
		return tokenstore.Record{}, errors.New("the server's token endpoint is another than when the login began: begin it again")
	}
	form := url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {p.Redirect},
		"code_verifier": {p.Verifier},
	}
	e.aim(form, nil, "")
	a, err := e.postTo(ctx, p.TokenURL, form)
	if err != nil {
		return tokenstore.Record{}, err
	}
	return c.firstRecord(ctx, e, a)
}

// loginEndpoint returns the token endpoint as it is asked for the first tokens of a
// session, whose key is kept, if it has one already.
func (c *Client) loginEndpoint(kept tokenstore.Secret) (*tokenEndpoint, error) {
	e := c.endpoint.other("token endpoint", 0, func(known endpoints) string { return known.token })
	if c.endpoint.keys == nil {
		return e, nil
	}
	key, err := c.endpoint.keys.keyFor(&tokenstore.Record{DPoPKey: kept})
	if err != nil {
		return nil, err
	}
	return e.provedBy(key), nil
}

// firstRecord makes the first record of a session of the answer to a login.
func (c *Client) firstRecord(ctx context.Context, e *tokenEndpoint, a *answer) (tokenstore.Record, error) {
	var none tokenstore.Record
	a.hide(&none)
	rec, err := e.record(a, none, "", "")
	if err != nil && !rec.RefreshToken.IsZero() {
		c.discard(ctx, rec)
	}
	return rec, err
}

// signIn begins the session of who has signed in with rec.
func (c *Client) signIn(ctx context.Context, p *pending, rec tokenstore.Record) (*Session, error) {
	err := checkNonce(rec.IDToken.Reveal(), p.Nonce)
	var account string
	if err == nil {
		account, err = c.accountOf(ctx, p.Account, rec)
	}
	if err != nil {
		c.discard(ctx, rec)
		return nil, err
	}
	s := c.Session(account)
	if s.err != nil { // closed meanwhile
		c.discard(ctx, rec)
		return nil, s.err
	}
	if rec.RefreshToken.IsZero() {
		c.warn("login: the server gave no refresh token, so the session ends with the access token: ask for a scope such as offline_access", "account", account)
	}
	return s, s.wrap(s.source.Set(ctx, rec))
}

// accountOf returns the name of the account that has signed in; want is whose login it
// is, if that is known.
func (c *Client) accountOf(ctx context.Context, want string, rec tokenstore.Record) (string, error) {
	if c.cfg.AccountOf == nil {
		return want, nil
	}
	account, err := c.cfg.AccountOf(ctx, rec.Clone())
	switch {
	case err != nil:
		return "", fmt.Errorf("client: login: Config.AccountOf: %w", err)
	case account == "":
		return "", errors.New("client: login: Config.AccountOf returned no account and no error")
	case want != "" && account != want:
		return "", fmt.Errorf("%w (%q, not %q)", ErrWrongAccount, account, want)
	}
	return account, nil
}

// discard revokes tokens that are not kept, if the server can.
func (c *Client) discard(ctx context.Context, rec tokenstore.Record) {
	if c.revoke == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.tokenTimeout())
	defer cancel()
	if err := c.revoke(ctx, rec); err != nil {
		c.warn("login: the tokens of a login that failed are still valid at the server", "err", err)
	}
}

var errNonce = errors.New("client: login: the server gave no id_token with the nonce of this login: ask for the scope openid; if it is among Config.Scopes, the answer was that to another login, and this one has to begin again")

// checkNonce looks for nonce, if there is one, in the id_token (OpenID Connect Core
// §3.1.3.7). The token's signature is not verified: it came from the server itself.
func checkNonce(idToken, nonce string) error {
	if nonce == "" {
		return nil
	}
	ms, err := claimsIn(idToken)
	if got, ok := ms.text("nonce"); err != nil || !ok || subtle.ConstantTimeCompare([]byte(got), []byte(nonce)) != 1 {
		return errNonce
	}
	return nil
}

// claimsIn returns the claims of a JWT (RFC 7519 §3), unverified.
func claimsIn(jwt string) (members, error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return nil, errNotJWT
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, errNotJWT
	}
	return readJSON(claims)
}

var errNotJWT = errors.New("client: not a JWT")
