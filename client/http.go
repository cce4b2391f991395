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
	if hc == nil || hc.Transport == nil {
		wrapped := s.HTTPClient()
		if hc != nil {
			transport := wrapped.Transport
			*wrapped = *hc
			wrapped.Transport = transport
		}
		return wrapped
	}
	wrapped := *hc
	t, err := s.client.transport(s.source, hc.Transport)
	wrapped.Transport = &roundTripper{s, t, err}
	return &wrapped
}

// Transport returns the RoundTripper of HTTPClient, for programs that make an
// http.Client of their own.
func (s *Session) Transport() http.RoundTripper {
	return &roundTripper{s, s.transport, nil}
}

// A roundTripper sends requests for a session, or for the one that the request's
// context names.
type roundTripper struct {
	session   *Session
	transport *transport.Transport
	err       error
}

func (r *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	s, t := r.session, r.transport
	err := r.err
	if chosen, ok := req.Context().Value(sessionKey{}).(*Session); ok && chosen != s && err == nil {
		s, t, err = r.choose(chosen)
	}
	if err == nil {
		err = s.err
	}
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	return t.RoundTrip(req)
}

// CloseIdleConnections closes the idle connections of the base, if it has any.
func (r *roundTripper) CloseIdleConnections() {
	if r.transport != nil {
		r.transport.CloseIdleConnections()
	}
}

var errOtherClient = errors.New("client: WithSession: the session is another Client's: its tokens must not go where this http.Client sends requests")

// choose returns what sends a request for the session that its context names.
func (r *roundTripper) choose(s *Session) (*Session, *transport.Transport, error) {
	switch {
	case s.client != r.session.client:
		return s, nil, errOtherClient
	case s.err != nil:
		return s, nil, s.err
	}
	return s, r.transport.With(s.source), nil
}

type sessionKey struct{}

// WithSession returns a context whose requests are sent for s by every
// http.Client of the same [Client]: one http.Client for many users.
//
// Make that http.Client from Session(""): a request whose context names no
// session is then an error, never somebody else's.
func WithSession(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}
