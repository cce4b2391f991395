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
	Other  Endpoint = "other"  // a path of the authorization server that is none
)

const (
	tokenPath  = "/token"
	revokePath = "/revoke"
	apiPrefix  = "/api/"
)

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
	case path == tokenPath:
		return Token
	case path == revokePath:
		return Revoke
	case o.role == roleAny:
		return API
	}
	return Other
}
