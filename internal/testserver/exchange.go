package testserver

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// An exchange is one request while it is being served.
type exchange struct {
	server   *Server
	origin   origin
	endpoint Endpoint
	grant    string
	entry    *Entry
	jkt      string // of the key of a token request's DPoP proof
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange {
	return r.Context().Value(exchangeKey{}).(*exchange)
}

// ServeHTTP serves one request: it goes into the log, through the gates, to an
// injected action if there is one, and to the endpoint.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	x := &exchange{server: s, origin: originOf(r)}
	x.endpoint = x.origin.endpoint(r.URL.Path)
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	x.begin(r)
	defer s.log.served(x.entry)
	if skew := s.policy.Load().ClockSkew; skew != 0 {
		rw.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	}
	w := &responseWriter{ResponseWriter: rw, exchange: x}
	before, after := s.gates.around(x, r)
	for _, g := range before {
		g.pass(x)
	}
	if len(after) == 0 {
		s.perform(w, r)
		w.finish()
		return
	}
	answer := record(w, r, s.perform)
	for _, g := range after {
		g.pass(x)
	}
	answer.send(w)
}

// begin reads the form of a request to the authorization server, and puts the
// request into the log.
func (x *exchange) begin(r *http.Request) {
	e := &Entry{
		Time:       time.Now(),
		Endpoint:   x.endpoint,
		Scheme:     x.origin.scheme,
		Host:       x.origin.host,
		HostHeader: r.Host,
		Method:     r.Method,
		Path:       r.URL.Path,
		Query:      r.URL.RawQuery,
		Header:     r.Header,
	}
	if x.endpoint.takesForm() {
		r.ParseForm() // an unreadable form is an empty one, and no grant
		e.Form = r.PostForm
		x.grant = r.PostForm.Get("grant_type")
		e.Grant, e.RefreshToken = x.grant, r.PostForm.Get("refresh_token")
		e.ClientID, _, e.ClientAuth = credentials(r, x.server.policy.Load())
	}
	_, e.AccessToken = authorization(r)
	e.Tokens = x.server.findTokens(r)
	x.entry = e
	x.server.log.add(e)
}

// note changes the entry.
func (x *exchange) note(f func(*Entry)) {
	x.server.log.change(func(*counts) { f(x.entry) })
}

func (s *Server) perform(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r)
	if do := s.faults.take(x, r); do != nil {
		x.note(func(e *Entry) { e.Injected = true })
		do(w, r, s.act)
		return
	}
	s.act(w, r)
}

// act is what the server does unless something goes wrong.
func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	endpoint := exchangeOf(r).endpoint
	switch {
	case endpoint == API:
		s.serveAPI(w, r)
	case s.upstream != nil:
		s.serveUpstream(w, r)
	case endpoint == Token:
		s.serveToken(w, r)
	case endpoint == Revoke:
		s.serveRevocation(w, r)
	case endpoint == Metadata:
		s.serveMetadata(w, r)
	case endpoint == Authorize:
		s.serveAuthorize(w, r)
	case endpoint == Push:
		s.servePush(w, r)
	case endpoint == Device:
		s.serveDevice(w, r)
	case endpoint == Verify:
		s.serveVerify(w, r)
	default:
		http.NotFound(w, r)
	}
}

// sleep waits for d. It breaks the request off if the server closes, but not if
// the client goes: a server does not notice.
func (x *exchange) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.server.done:
		panic(http.ErrAbortHandler)
	}
}

// authorization returns the scheme, in lower case, and the rest of the
// Authorization header.
func authorization(r *http.Request) (scheme, token string) {
	scheme, token, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.ToLower(scheme), strings.TrimLeft(token, " ")
}

// findTokens returns what r presents as a token, and the tokens of this server
// that are in its headers, path, query and form.
func (s *Server) findTokens(r *http.Request) []string {
	found := presentedTokens(r)
	look := func(text string) {
		for _, word := range strings.FieldsFunc(text, notTokenChar) {
			if !slices.Contains(found, word) && s.tokens.knows(word) {
				found = append(found, word)
			}
		}
	}
	lookAll := func(values map[string][]string) {
		for _, list := range values {
			for _, text := range list {
				look(text)
			}
		}
	}
	lookAll(r.Header)
	lookAll(r.URL.Query())
	lookAll(r.PostForm)
	look(r.URL.Path)
	if id, secret, ok := r.BasicAuth(); ok {
		look(id + " " + secret)
	}
	return found
}

// presentedTokens returns the tokens that stand where tokens belong, whoever
// made them.
func presentedTokens(r *http.Request) []string {
	var list []string
	if scheme, token := authorization(r); token != "" && (scheme == "bearer" || scheme == "dpop") {
		list = append(list, token)
	}
	for _, name := range []string{"refresh_token", "token"} {
		if token := r.PostForm.Get(name); token != "" && !slices.Contains(list, token) {
			list = append(list, token)
		}
	}
	return list
}

// notTokenChar splits where no token of this server has a character.
func notTokenChar(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '_' || c == '.')
}

// A responseWriter notes the status before the client can have seen it.
type responseWriter struct {
	http.ResponseWriter
	exchange *exchange
	wrote    bool
	hijacked bool
}

func (w *responseWriter) WriteHeader(status int) {
	informational := status < 200 && status != http.StatusSwitchingProtocols
	if !w.wrote && !informational {
		w.wrote = true
		w.exchange.answered(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (x *exchange) answered(status int) {
	x.server.log.change(func(c *counts) {
		x.entry.Status = status
		if status == http.StatusUnauthorized && x.endpoint == API {
			c.unauthorized++
		}
	})
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.finish()
	return w.ResponseWriter.Write(p)
}

// Flush and Hijack are here for hooks that assert them.
func (w *responseWriter) Flush() {
	w.finish()
	http.NewResponseController(w.ResponseWriter).Flush()
}

// finish does at once what net/http does with an answer that has no status.
func (w *responseWriter) finish() {
	if !w.wrote && !w.hijacked {
		w.WriteHeader(http.StatusOK)
	}
}

func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap is for [http.ResponseController].
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
