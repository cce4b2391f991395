package transport

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// An origin is scheme, host and effective port in one spelling (RFC 6454 §4),
// so that == compares two. It is a struct of parts, and not a text, because one
// is made for every request: for a URL in the usual spelling that allocates
// nothing.
//
// The host is in lower case, as far as it is ASCII, and without the dot that may
// end it. An IPv6 address stands in its canonical text (RFC 5952), without the
// brackets. A name that is not ASCII is kept as it is spelled: net/http turns the
// same spelling into the same xn-- name whenever it connects, so equal bytes are
// the same host. Two spellings of one name count as two hosts: that may withhold
// a token, and never sends one astray, and no tables of Unicode are needed.
type origin struct {
	scheme string // https or http
	host   string
	port   uint16
}

// String returns scheme://host:port, an IPv6 address in brackets.
func (o origin) String() string {
	return o.scheme + "://" + net.JoinHostPort(o.host, strconv.Itoa(int(o.port)))
}

// originOf returns where a request for u goes, and false where that is no place
// for a token: no http or https, or no host that could have been allowed. It
// takes u apart as net/http does before it connects.
func originOf(u *url.URL) (o origin, ok bool) {
	if u == nil || !ownTarget(u) {
		return origin{}, false
	}
	if o.scheme, ok = canonicalScheme(u.Scheme); !ok {
		return origin{}, false
	}
	if o.host, ok = canonicalHost(u.Hostname(), strings.HasPrefix(u.Host, "[")); !ok {
		return origin{}, false
	}
	o.port, ok = effectivePort(o.scheme, u.Port())
	return o, ok
}

// ownTarget reports whether u is free of an Opaque by which the request line
// could name another host than the one connected to, which then counts (RFC 9112
// §3.2.2).
func ownTarget(u *url.URL) bool {
	if u.Opaque == "" {
		return true
	}
	rest, absolute := strings.CutPrefix(u.Opaque, "//")
	if !absolute {
		return u.Opaque[0] == '/'
	}
	rest, same := strings.CutPrefix(rest, u.Host)
	return same && (rest == "" || rest[0] == '/' || rest[0] == '?')
}

func canonicalScheme(scheme string) (string, bool) {
	switch scheme = lowerASCII(scheme); scheme {
	case "https":
		return "https", true
	case "http":
		return "http", true
	}
	return "", false
}

// canonicalHost returns the one spelling of host, which stood in brackets or not.
func canonicalHost(host string, bracketed bool) (string, bool) {
	if bracketed {
		return canonicalIPv6(host)
	}
	name := strings.TrimSuffix(host, ".")
	if name == "" || strings.IndexByte(name, ':') >= 0 {
		return "", false
	}
	// "127.0.0.1." is looked up as a name, whatever the resolver makes of it.
	if len(name) < len(host) && isAddr(name) {
		return "", false
	}
	return lowerASCII(name), true
}

// canonicalIPv6 refuses addresses with a zone: which network a zone names is
// known to this host only, and no server can be called by it.
func canonicalIPv6(host string) (string, bool) {
	ip, _ := netip.ParseAddr(host)
	if !ip.Is6() || ip.Zone() != "" {
		return "", false
	}
	var buf [64]byte
	text := ip.AppendTo(buf[:0])
	if string(text) == host {
		return host, true
	}
	return string(text), true
}

func isAddr(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func effectivePort(scheme, port string) (uint16, bool) {
	switch {
	case port != "":
		n, err := strconv.ParseUint(port, 10, 16)
		return uint16(n), err == nil && n > 0
	case scheme == "https":
		return 443, true
	}
	return 80, true
}

// lowerASCII leaves other letters alone: strings.ToLower would turn the sign for
// kelvin into a k.
func lowerASCII(s string) string {
	i := 0
	for i < len(s) && (s[i] < 'A' || 'Z' < s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	lower := []byte(s)
	for ; i < len(lower); i++ {
		if 'A' <= lower[i] && lower[i] <= 'Z' {
			lower[i] += 'a' - 'A'
		}
	}
	return string(lower)
}

// secure reports whether what is sent to o can be read by nobody on the way: it
// is encrypted, or stays on this machine. The name localhost may be resolved to
// anything, so only addresses count as this machine (RFC 8252 §8.3).
func (o origin) secure() bool {
	if o.scheme == "https" {
		return true
	}
	ip, _ := netip.ParseAddr(o.host)
	return ip.IsLoopback() && !ip.Is4In6()
}

// An originSet is a list of origins that somebody wrote by hand, so short that
// looking through it is the fastest.
type originSet []origin

func (s originSet) has(o origin) bool { return slices.Contains(s, o) }

// origins decides where tokens go. It never changes.
type origins struct {
	allowed originSet // if empty, requests that never left where they began
	plain   originSet // may get tokens over http
	usual   []spelling
}

// A spelling is how an allowed origin mostly stands in a URL.
type spelling struct{ scheme, host string }

var (
	errUserinfo = errors.New("transport: the URL has a user name or password in it, " +
		"which ends up in logs and would compete with the token: take it out")
	errPlainHTTP = errors.New("transport: a token is not sent over plain http")
)

// checkURL returns an error for a URL with a user or a password in it. net/http
// would make an Authorization header of them, so it comes before anything that
// looks at that header.
func checkURL(req *http.Request) error {
	if u := req.URL; u != nil && (u.User != nil || strings.IndexByte(u.Host, '@') >= 0) {
		return errUserinfo
	}
	return nil
}

// A verdict says how a request goes out.
type verdict uint8

const (
	bare   verdict = iota // as the caller made it
	attach                // with a token
)

// verdict decides about req. With an error, it must not go out at all.
func (o *origins) verdict(req *http.Request) (verdict, error) {
	if o.obvious(req) {
		return attach, nil
	}
	at, host, ok := destination(req)
	switch {
	case !ok || !o.mayGo(req, at, host):
		return bare, nil
	case !at.secure() && !o.plain.has(at):
		return bare, fmt.Errorf("%w, to %s: use https, or name the origin in DangerouslyAllowHTTP%s", errPlainHTTP, at, loopbackHint(at))
	}
	return attach, nil
}

// obvious reports, at a glance, whether req is one of those that nearly all are
// and may carry a token. It says no where a closer look is needed; without it,
// deciding would cost a quarter of what the rest of a request does.
func (o *origins) obvious(req *http.Request) bool {
	u := req.URL
	if u == nil || u.Opaque != "" || req.Host != "" && req.Host != u.Host {
		return false
	}
	for i := range o.usual {
		if o.usual[i].host == u.Host && o.usual[i].scheme == u.Scheme {
			return true
		}
	}
	return len(o.allowed) == 0 && req.Response == nil && u.Scheme == "https" && usualHost(u.Host)
}

// usualHost reports whether host, of a URL, is a name or an IPv4 address and
// nothing else.
func usualHost(host string) bool {
	return host != "" && host[0] != '[' && host[len(host)-1] != '.' && strings.IndexByte(host, ':') < 0
}

func (o *origins) mayGo(req *http.Request, at, host origin) bool {
	if len(o.allowed) == 0 {
		return host == at && !leftOrigin(req, at)
	}
	return o.allowed.has(at) && o.allowed.has(host)
}

// destination returns where req goes: the origin that is connected to, and the
// one that the Host header names, by which a server or a gateway chooses who gets
// it (RFC 9110 §7.2).
func destination(req *http.Request) (at, host origin, ok bool) {
	if at, ok = originOf(req.URL); !ok {
		return origin{}, origin{}, false
	}
	if req.Host == "" || req.Host == req.URL.Host {
		return at, at, true
	}
	host, ok = originOf(&url.URL{Scheme: at.scheme, Host: req.Host})
	return at, host, ok
}

// maxHops is how many redirects of a request are looked back through. net/http
// follows 10, if not told otherwise.
const maxHops = 64

// leftOrigin reports whether one of the requests that led to req by redirects
// went to another origin than at. Coming back is not enough: whoever was visited
// in between has chosen the URL, and would have the token sent to it. net/http
// does the same with an Authorization header of the caller's.
func leftOrigin(req *http.Request, at origin) bool {
	for hops := 0; req.Response != nil; hops++ {
		if req = req.Response.Request; req == nil || hops == maxHops {
			return true
		}
		if was, host, ok := destination(req); !ok || was != at || host != at {
			return true
		}
	}
	return false
}
