package client

import (
	"context"
	"errors"
	"net/http"

	"github.com/freshet-go/freshet/transport"
)

// HTTPClient returns an http.Client that sends every request with the session's
// token; see [transport.Transport] for what happens to a request. It has no
// Timeout: use a context, or give [Session.Wrap] a client that has one.
func (s *Session) HTTPClient() *http.Client {
	return &http.Client{Transport: s.Transport()}
}

// Wrap returns a copy of hc whose requests carry the session's token. Everything
// else of hc stays: its Timeout, its Jar, its CheckRedirect, and its Transport,
// which sends the requests. hc itself is not changed. If hc has no Transport, or
// is nil, Config.Base sends them.
func (s *Session) Wrap(hc *http.Client) *http.Client {
	wrapped := new(http.Client)
	if hc != nil {
		*wrapped = *hc
	}
	wrapped.Transport = &roundTripper{s, wrapped.Transport, s.over(wrapped.Transport)}
	return wrapped
}

// Transport returns the RoundTripper of HTTPClient, for programs that make an
// http.Client of their own.
func (s *Session) Transport() http.RoundTripper { return &roundTripper{s, nil, s.over(nil)} }

// A roundTripper sends requests for a session, or for the one that the request's
// context names.
type roundTripper struct {
	session   *Session
	base      http.RoundTripper // nil for that of the configuration
	transport *transport.Transport
}

func (r *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	s, err := r.choose(req.Context())
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	resp, err := r.transportOf(s).RoundTrip(req)
	if _, ok := err.(*transport.RefreshError); ok {
		err = s.wrap(err)
	}
	return resp, err
}

func (r *roundTripper) transportOf(s *Session) *transport.Transport {
	switch {
	case s == r.session:
		return r.transport
	case s.view == nil && r.session.view == nil:
		return r.transport.With(s.source)
	}
	return s.over(r.base)
}

var (
	errNoChoice    = errors.New("client: WithSession: the session in the request's context is nil")
	errOtherClient = errors.New("client: WithSession: the session is another Client's: its tokens must not go where this http.Client sends requests")
)

// choose returns the session for which a request with that context is sent.
func (r *roundTripper) choose(ctx context.Context) (*Session, error) {
	s := r.session
	if chosen := ctx.Value(sessionKey{}); chosen != nil {
		s = chosen.(*Session)
	}
	switch {
	case s == nil:
		return nil, errNoChoice
	case s.client != r.session.client:
		return nil, errOtherClient
	}
	return s, s.err
}

// CloseIdleConnections closes the idle connections of the base, if it has any.
func (r *roundTripper) CloseIdleConnections() { r.transport.CloseIdleConnections() }

type sessionKey struct{}

// WithSession returns a context whose requests are sent for s by every
// http.Client of the same [Client]: one http.Client for many users.
//
// Make that http.Client from Session(""): without a Grant, a request whose context
// names no session is then an error, never somebody else's. A nil Session is an
// error in any case.
func WithSession(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}
