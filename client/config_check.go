package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/freshet-go/freshet/transport"
)

// check returns everything that is wrong with c, each with its field and what to
// do about it, or nil.
func (c Config) check() error {
	var p problems
	if c.ClientID == "" {
		p.add("ClientID is empty: set it to the id that the server gave your program")
	}
	c.checkServer(&p)
	c.checkSecret(&p)
	c.checkScopes(&p)
	c.checkResources(&p)
	c.checkRedirect(&p)
	p.duration("RefreshBefore", c.RefreshBefore)
	p.duration("RefreshTimeout", c.RefreshTimeout)
	p.params("RefreshParams", c.RefreshParams)
	p.header("TokenHeader", c.TokenHeader)
	c.checkOrigins(&p)
	if c.DPoP != nil {
		c.DPoP.check(&p)
	}
	if c.TokenClient != nil {
		c.checkTokenClient(&p)
	}
	if c.Grant != nil {
		c.checkGrant(&p)
	}
	return p.err()
}

// problems collects what is wrong with a Config. No value of a field is shown:
// secrets are found in the wrong fields too.
type problems []error

func (p *problems) add(format string, args ...any) {
	*p = append(*p, fmt.Errorf("client: Config."+format, args...))
}

func (p problems) err() error { return errors.Join(p...) }

func (c *Config) checkServer(p *problems) {
	if c.Issuer != "" {
		p.url("Issuer", c.Issuer)
		if strings.ContainsAny(c.Issuer, "?") { // RFC 8414 §2
			p.add("Issuer has a query: an issuer is a URL without one")
		}
	}
	if c.Issuer == "" && c.Endpoint.TokenURL == "" {
		p.add("Issuer and Endpoint.TokenURL are empty: set Issuer, or Endpoint for a server without metadata")
	}
	for field, raw := range map[string]string{
		"Endpoint.TokenURL":      c.Endpoint.TokenURL,
		"Endpoint.AuthURL":       c.Endpoint.AuthURL,
		"Endpoint.DeviceAuthURL": c.Endpoint.DeviceAuthURL,
		"RevocationURL":          c.RevocationURL,
		"PushedURL":              c.PushedURL,
	} {
		if raw != "" {
			p.url(field, raw)
		}
	}
}

// url checks the URL of an endpoint.
func (p *problems) url(field, raw string) {
	if fault := urlFault(raw); fault != "" {
		p.add("%s %s", field, fault)
	}
}

// urlFault says what keeps raw from being the URL of an endpoint (RFC 6749 §3.1, §3.2:
// TLS, no fragment), or nothing.
func urlFault(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "can't be read as a URL"
	case u.User != nil:
		return "has a user name or password in it: take it out; ClientID and ClientSecret are the fields for credentials"
	case u.Scheme == "" || u.Hostname() == "":
		return "is not a whole URL: write https://, host and path"
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return "is not https: use https (plain http is taken for 127.0.0.1 and [::1] alone)"
	case strings.Contains(raw, "#"):
		return "has a fragment: take it out, from the # on"
	}
	return ""
}

// loopback reports whether host is an address of this machine. A name is not:
// what it resolves to is up to others.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.IsLoopback() && !addr.Is4In6()
}

// checkOrigins has package transport look at the origins, which are its own.
func (c *Config) checkOrigins(p *problems) {
	if _, err := transport.New(c.transportConfig(new(transport.Source))); err != nil {
		*p = append(*p, fmt.Errorf("client: Config: %w", errors.Unwrap(err)))
	}
}

func (c *Config) checkGrant(p *problems) {
	c.Grant.check(p)
	if len(c.RefreshParams) > 0 {
		p.add("RefreshParams are set beside a Grant, which does not refresh: put them into the Grant's Params")
	}
	if _, ok := c.Grant.(ClientCredentials); ok && c.ClientSecret == "" && c.Auth == nil {
		p.add("ClientSecret is empty, and ClientCredentials authenticates the program: set it, or Auth to None{} if the server asks for no proof")
	}
}

func (c *Config) checkSecret(p *problems) {
	if hasControl(c.ClientID) || hasControl(c.ClientSecret) {
		p.add("ClientID or ClientSecret has a control character in it: a line end from a file, perhaps")
	}
	switch takes := c.auth().takesSecret(); {
	case takes && c.ClientSecret == "":
		p.add("ClientSecret is empty, and Auth needs one: set it, or leave Auth nil for a public client")
	case !takes && c.ClientSecret != "":
		p.add("ClientSecret is set, and Auth does not use it: leave one of the two empty")
	}
	c.auth().check(c, p)
}

// checkScopes holds Scopes against RFC 6749 §3.3:
//
//	scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
func (c *Config) checkScopes(p *problems) {
	for i, scope := range c.Scopes {
		if !isScope(scope) {
			p.add("Scopes[%d] is empty or has a character that no scope has: give each scope an element of its own", i)
		}
	}
}

func (c *Config) checkResources(p *problems) {
	for i, r := range c.Resources {
		if fault := resourceFault(r); fault != "" {
			p.add("Resources[%d] %s", i, fault)
		}
	}
}

// checkRedirect holds RedirectURL against RFC 6749 §3.1.2 and RFC 8252 §7: https, a
// loopback address, or a scheme of the program's own, which has a dot in it.
func (c *Config) checkRedirect(p *problems) {
	u, err := url.Parse(c.RedirectURL)
	switch {
	case c.RedirectURL == "":
	case err != nil || u.Scheme == "" || u.User != nil:
		p.add("RedirectURL is not a whole URL: write it as it is registered at the server")
	case strings.Contains(c.RedirectURL, "#"):
		p.add("RedirectURL has a fragment: take it out, from the # on")
	case u.Scheme == "https" && u.Host != "", u.Scheme == "http" && onThisMachine(u.Hostname()), strings.Contains(u.Scheme, "."):
	default:
		p.add("RedirectURL is not https: use https, or http on 127.0.0.1, [::1] or localhost")
	}
}

func isScope(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	}) < 0
}

func (p *problems) duration(field string, d time.Duration) {
	if d < 0 {
		p.add("%s is negative (%s): leave it zero for the default", field, d)
	}
}

// ownMembers are the members of a token request that only the client itself
// sets.
var ownMembers = []string{
	"grant_type", "refresh_token", "client_id", "client_secret", "client_assertion", "client_assertion_type",
	"code", "code_verifier", "device_code",
}

func (p *problems) params(field string, form url.Values, more ...string) {
	for _, name := range slices.Concat(ownMembers, more) {
		if form.Has(name) {
			p.add("%s has %s: take it out, the client sets it itself", field, name)
		}
	}
}

// ownHeaders are the headers of a token request that only the client itself
// sets, and those that would change how it is sent: net/http takes an
// Idempotency-Key for leave to send a refresh token twice.
var ownHeaders = []string{
	"Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type",
	"Cookie", "Dpop", "Expect", "Host", "Idempotency-Key", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "X-Idempotency-Key",
}

func (p *problems) header(field string, h http.Header) {
	for name, values := range h {
		switch {
		case slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)):
			p.add("%s has %s: take it out, the client sets it itself", field, http.CanonicalHeaderKey(name))
		case strings.Trim(name, tokenChars) != "" || name == "":
			p.add("%s has a name that no header has", field)
		case slices.ContainsFunc(values, hasControl):
			p.add("%s: the value of %s has a control character", field, name)
		}
	}
}

// tokenChars are the characters of a token (RFC 9110 §5.6.2).
const tokenChars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func hasControl(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) >= 0
}

func (c *Config) checkTokenClient(p *problems) {
	p.duration("TokenClient.Timeout", c.TokenClient.Timeout)
	t, ok := c.TokenClient.Transport.(*http.Transport)
	if ok && t.TLSClientConfig != nil && t.TLSClientConfig.InsecureSkipVerify {
		p.add("TokenClient: InsecureSkipVerify lets anybody pose as the server: for a private CA set TLSClientConfig.RootCAs instead")
	}
}
