package transport

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// A Config configures a [Transport].
type Config struct {
	// Source has the tokens. It is required.
	Source *Source

	// Target is what the tokens are for, "" being the session's own; see
	// [Source.Token].
	Target string

	// Base sends the requests. If nil, [http.DefaultTransport].
	Base http.RoundTripper

	// Origins are where the token may go: "https://api.example.com", compared
	// by scheme, host and port. A request to any other origin goes out without
	// a token. If empty, the token goes wherever the program sends a request,
	// but a redirect does not take it to another origin.
	Origins []string

	// DangerouslyAllowHTTP are origins to which the token may go in clear text,
	// "http://api.internal:8080". Loopback addresses need not be named.
	DangerouslyAllowHTTP []string

	// Retry says what follows a 401. The zero value is the default.
	Retry Retry
}

// A Transport is an [http.RoundTripper] that puts an access token on every
// request that may carry one (RFC 6750 §2.1), and sends a request again, once and
// with a new token, when it is answered 401. Make it with [New]; it is safe for
// concurrent use.
//
// The life of a request:
//
//	0  userinfo in the URL                        → an error, nothing is sent
//	1  the caller set Authorization               → Base, untouched; its 401 is the caller's
//	2  an origin where tokens don't go            → Base, without a token
//	3  neither https nor loopback                 → an error, nothing is sent
//	4  Source.Token                               an error → returned, nothing is sent
//	5  Base, with a copy of the request and the token
//	6  not a 401, or one that no token can mend   → the response
//	7  Source.Refresh: N requests, one refresh    an error → the 401; [RefreshErrorOf] says why
//	8  a body that can't be sent again            → the 401; the next request works
//	9  Base, with another copy and the new token  → whatever comes, never a third time
//
// The caller's request is not changed, its body is closed once on every path,
// and the Request of a response is the caller's, or after a refresh that failed a
// copy of it that says why. Requests are sent and waited for within the caller's
// context.
type Transport struct {
	cfg     Config
	origins *origins
}

// New returns a Transport. It does no I/O.
func New(cfg Config) (*Transport, error) {
	if cfg.Base == nil {
		cfg.Base = http.DefaultTransport
	}
	origins, err := newOrigins(cfg.Origins, cfg.DangerouslyAllowHTTP)
	if cfg.Source == nil {
		err = errors.Join(errors.New("Source is nil: make one with NewSource"), err)
	}
	if err != nil {
		return nil, fmt.Errorf("transport: Config: %w", err)
	}
	return &Transport{cfg, origins}, nil
}

// Format prints whose Transport it is, for every verb.
func (t *Transport) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "transport.Transport(%v)", t.cfg.Source)
}

// With returns a Transport like t with the tokens of another Source.
func (t *Transport) With(source *Source) *Transport {
	other := *t
	other.cfg.Source = source
	return &other
}

// Over returns a Transport like t that sends its requests through base.
func (t *Transport) Over(base http.RoundTripper) *Transport {
	other := *t
	other.cfg.Base = base
	return &other
}

// RoundTrip sends req with an access token. Its errors are those of Base, of the
// request itself, and *[RefreshError] or [ErrClosed] where no token was to be had.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil {
		return refuse(req, errNoURL)
	}
	if err := checkURL(req); err != nil {
		return refuse(req, err)
	}
	if hasAuthorization(req.Header) {
		return t.cfg.Base.RoundTrip(req)
	}
	switch v, err := t.origins.verdict(req); {
	case err != nil:
		return refuse(req, err)
	case v == bare:
		t.tellBare(req)
		return t.cfg.Base.RoundTrip(req)
	}
	tok, err := t.cfg.Source.Token(req.Context(), t.cfg.Target)
	if err != nil {
		return refuse(req, err)
	}
	return t.sendWith(req, tok)
}

// sendWith sends req with tok, and once more if another token may get a better answer.
func (t *Transport) sendWith(req *http.Request, tok Token) (*http.Response, error) {
	out := withToken(req, tok, 0)
	resp, err := t.send(req, out)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusUnauthorized:
		return t.rejected(req, out, resp, tok)
	case tok.issue.remedy:
		t.judge(resp, tok)
	}
	return resp, nil
}

var errNoURL = errors.New("transport: the request has no URL")

// send sends out, a copy of req, and makes the response one to req: nobody who
// prints it shall see the token.
func (t *Transport) send(req, out *http.Request) (*http.Response, error) {
	resp, err := t.cfg.Base.RoundTrip(out)
	if err != nil {
		if resp != nil && resp.Body != nil { // against the contract, and no reason to leak it
			resp.Body.Close()
		}
		return nil, err
	}
	if resp == nil {
		return nil, fmt.Errorf("transport: Base (%T) returned neither a response nor an error", t.cfg.Base)
	}
	resp.Request = req
	return resp, nil
}

// CloseIdleConnections closes the idle connections of Base, if it has any.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.cfg.Base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// refuse is the answer to a request that is not sent.
func refuse(req *http.Request, err error) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, err
}

// rejected handles resp, a 401 to out, which is req with tok.
func (t *Transport) rejected(req, out *http.Request, resp *http.Response, tok Token) (*http.Response, error) {
	if !t.deserves(resp, tok) {
		return resp, nil
	}
	body := readAhead(resp.Body)
	resp.Body = body
	next, err := t.cfg.Source.Refresh(req.Context(), tok)
	if over := req.Context().Err(); over != nil {
		resp.Body.Close()
		return nil, over
	}
	if err != nil {
		resp.Request = withRefreshError(req, err)
		return resp, nil
	}
	again, ok := t.rewind(req, next, sentSoFar(out))
	if !ok {
		return resp, nil
	}
	body.discard(req.Context())
	if over := req.Context().Err(); over != nil {
		return refuse(again, over)
	}
	resp, err = t.send(req, again)
	if err == nil {
		t.judge(resp, next)
	}
	return resp, err
}

// judge tells the breaker what resp says of a token that came for a rejected one. A server that is down or overloaded says nothing of it.
func (t *Transport) judge(resp *http.Response, tok Token) {
	switch {
	case t.deserves(resp, tok):
		t.cfg.Source.strike(tok.issue)
	case resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests:
		t.cfg.Source.accept(tok.issue)
	}
}

// deserves reports whether resp, an answer to a request that carried tok, is one
// to which another token may get a better one.
func (t *Transport) deserves(resp *http.Response, tok Token) bool {
	if resp.StatusCode != http.StatusUnauthorized {
		return false
	}
	code, ok := deservesRefresh(resp, t.cfg.Retry)
	code = printable(strings.ReplaceAll(code, tok.Reveal(), "[redacted]")) // some APIs echo what they got
	s := t.cfg.Source
	s.watch().rejected(Rejected{
		Subject: s.subject(t.cfg.Target), Host: resp.Request.URL.Host,
		Challenge: code, Refresh: ok, Token: tok.issue.access.Token.Fingerprint(),
	})
	return ok
}

// rewind returns req ready to be sent once more, if its method and its body
// allow that.
func (t *Transport) rewind(req *http.Request, tok Token, sent int) (*http.Request, bool) {
	if !t.cfg.Retry.resends(req.Method) {
		return nil, false
	}
	again := withToken(req, tok, sent)
	if req.Body == nil || req.Body == http.NoBody {
		return again, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	again.Body = body
	return again, err == nil
}

func (t *Transport) tellBare(req *http.Request) {
	s := t.cfg.Source
	if s.cfg.Logger == nil && s.cfg.Observer.Bare == nil {
		return
	}
	s.watch().bare(Bare{Subject: s.subject(t.cfg.Target), Origin: req.URL.Scheme + "://" + req.URL.Host})
}
