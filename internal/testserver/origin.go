package testserver

import (
	"context"
	"net"
	"net/http"
	"strings"
)

// An Endpoint is a part of the server.
type Endpoint string

// The endpoints.
const (
	Token  Endpoint = "token"  // the token endpoint
	API    Endpoint = "api"    // the protected API
	Revoke Endpoint = "revoke" // the revocation endpoint

	Metadata  Endpoint = "metadata"  // a metadata document, or the keys that it names
	Authorize Endpoint = "authorize" // the authorization endpoint, and what its pages send
	Push      Endpoint = "push"      // the pushed authorization request endpoint
	Device    Endpoint = "device"    // the device authorization endpoint
	Verify    Endpoint = "verify"    // the page where a device's code is entered

	Other Endpoint = "other" // a path of the authorization server that is none
)

const (
	tokenPath  = "/token"
	revokePath = "/revoke"
	apiPrefix  = "/api/"

	authorizePath = "/authorize"
	pushPath      = "/par"
	devicePath    = "/device_authorization"
	verifyPath    = "/device"
	keysPath      = "/jwks"
	wellKnown     = "/.well-known/"
)

// endpoints are the paths of the authorization server.
var endpoints = map[string]Endpoint{
	tokenPath: Token, revokePath: Revoke, authorizePath: Authorize, pushPath: Push,
	devicePath: Device, verifyPath: Verify, keysPath: Metadata,
}

// takesForm reports whether the endpoint is one that clients send a form to.
func (e Endpoint) takesForm() bool {
	return e == Token || e == Revoke || e == Push || e == Device
}

type role int

const (
	roleAny  role = iota // a foreign listener: the path decides
	roleAuth             // the authorization server
	roleAPI              // an API
)

// An origin is where a connection was made to, whatever the Host header says.
type origin struct {
	scheme string
	host   string // with the port, unless it is the scheme's own
	role   role
}

type originKey struct{}

func (s *Server) connContext(ctx context.Context, c net.Conn) context.Context {
	if mc, ok := c.(*memoryConn); ok {
		return context.WithValue(ctx, originKey{}, mc.origin)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o, ok := s.origins[c.LocalAddr().String()]; ok {
		return context.WithValue(ctx, originKey{}, o)
	}
	return ctx
}

func originOf(r *http.Request) origin {
	if o, ok := r.Context().Value(originKey{}).(origin); ok {
		return o
	}
	o := origin{scheme: "http", host: r.Host}
	if r.TLS != nil {
		o.scheme = "https"
	}
	return o
}

func (o origin) endpoint(path string) Endpoint {
	switch {
	case o.role == roleAPI || strings.HasPrefix(path, apiPrefix):
		return API
	case endpoints[path] != "":
		return endpoints[path]
	case strings.Contains(path, wellKnown):
		return Metadata
	case o.role == roleAny:
		return API
	}
	return Other
}
