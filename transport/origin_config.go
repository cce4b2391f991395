package transport

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// newOrigins returns what decides by the lists of a Config. Its error names all
// that is wrong with them.
func newOrigins(allowed, plain []string) (*origins, error) {
	o := new(origins)
	var bad []error
	o.allowed, bad = parseOrigins("Origins", allowed, bad)
	o.plain, bad = parseOrigins("DangerouslyAllowHTTP", plain, bad)
	for _, at := range o.allowed {
		if !at.secure() && !o.plain.has(at) {
			bad = append(bad, fmt.Errorf("%s in Origins: tokens would be sent in the clear: "+
				"use https, or name it in DangerouslyAllowHTTP too%s", at, loopbackHint(at)))
		}
		o.usual = append(o.usual, spelling{at.scheme, at.short()[len(at.scheme+"://"):]})
	}
	for _, at := range o.plain {
		switch {
		case at.scheme != "http":
			bad = append(bad, fmt.Errorf("%s in DangerouslyAllowHTTP: it needs no permission: leave it out", at))
		case len(o.allowed) > 0 && !o.allowed.has(at):
			bad = append(bad, fmt.Errorf("%s in DangerouslyAllowHTTP: it gets no token: name it in Origins too", at))
		}
	}
	return o, errors.Join(bad...)
}

// loopbackHint is for those who mean this machine: its name is not enough, since
// it may be resolved to any address.
func loopbackHint(at origin) string {
	if at.host != "localhost" {
		return ""
	}
	at.host = "127.0.0.1"
	return ", or write " + at.short()
}

func parseOrigins(field string, list []string, bad []error) (originSet, []error) {
	var set originSet
	for i, s := range list {
		o, err := parseOrigin(s)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s[%d]: %w", field, i, err))
			continue
		}
		set = append(set, o)
	}
	return set, bad
}

// parseOrigin returns the origin that s, a line of somebody's configuration,
// names. The error says what to write instead; of s it shows no more than scheme,
// host and port, since people paste URLs with passwords in them.
func parseOrigin(s string) (origin, error) {
	u, err := url.Parse(s)
	if err != nil {
		return origin{}, notOrigin(s, "it is not a URL")
	}
	if flaw := originFlaw(s, u); flaw != "" {
		return origin{}, notOrigin(s, flaw)
	}
	o, ok := originOf(u)
	if !ok || !plausibleHost(o.host) {
		return origin{}, notOrigin(s, "its host or its port is not one")
	}
	return o, nil
}

// originFlaw says what u, of which s is the text, has or lacks that an origin
// does not.
func originFlaw(s string, u *url.URL) string {
	_, known := canonicalScheme(u.Scheme)
	switch {
	case u.User != nil:
		return "it has a user name or password in it"
	case strings.Contains(s, "*"):
		return "it has a wildcard, and a token goes only to hosts that are listed one by one"
	case !known:
		return "it does not begin with https:// or http://"
	case u.Host == "":
		return "it has no host"
	case u.Path != "" && u.Path != "/":
		return "it has a path, and tokens are sent by host"
	case strings.ContainsAny(s, "?#"):
		return "it has a query or fragment"
	}
	return ""
}

func notOrigin(s, flaw string) error {
	return fmt.Errorf("not an origin: %s; write it as %q", flaw, suggest(s))
}

// suggest returns the origin that s may be meant to be, or an example. An @ that
// is not the end of userinfo may still be part of a password.
func suggest(s string) string {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	if u, err := url.Parse(s); err == nil && (u.User != nil || !strings.Contains(s, "@")) {
		if o, ok := originOf(u); ok && plausibleHost(o.host) {
			return o.short()
		}
	}
	return "https://api.example.com"
}

// short returns o as people write it, without the default port.
func (o origin) short() string {
	text := o.String()
	if port, _ := effectivePort(o.scheme, ""); port != o.port {
		return text
	}
	return text[:strings.LastIndexByte(text, ':')]
}

// plausibleHost reports whether host, a canonical one, is made as the hosts of
// servers are: an address, or labels of letters, digits, hyphens and underscores
// with dots between. What is not ASCII passes: see [origin].
func plausibleHost(host string) bool {
	if isAddr(host) {
		return true
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.ContainsFunc(label, notOfHost) {
			return false
		}
	}
	return true
}

func notOfHost(r rune) bool {
	return r < 0x80 && !isAlphanumeric(byte(r)) && r != '-' && r != '_'
}
