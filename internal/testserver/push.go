package testserver

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// pushLifetime is how long a pushed request waits for its user.
const pushLifetime = time.Minute

const requestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// A pushedRequest waits for its user.
type pushedRequest struct {
	form    url.Values
	expires time.Time
}

// servePush serves the pushed authorization request endpoint (RFC 9126 §2).
func (s *Server) servePush(w http.ResponseWriter, r *http.Request) {
	x, p := exchangeOf(r), s.policy.Load()
	err := wellFormed(r)
	var client string
	if err == nil {
		client, err = x.authenticate(p, r)
	}
	form := r.PostForm
	if err == nil && form.Has("request_uri") { // §2.1
		err = badRequest("invalid_request", "a request_uri is in it")
	}
	if err == nil {
		form = withClient(form, client)
		if fault := p.redirectFault(form); fault != "" {
			err = badRequest("invalid_request", fault)
		} else if code, fault := p.requestFault(form); code != "" {
			err = badRequest(code, fault)
		}
	}
	if err != nil {
		x.note(func(e *Entry) { e.Error = err.code })
		writeTokenError(w, r, p, err)
		return
	}
	m := members{"expires_in": strconv.Itoa(int(pushLifetime / time.Second))}
	m.text("request_uri", s.tokens.push(s.now(), form))
	writeAnswer(w, p, http.StatusCreated, m)
}

// withClient returns the parameters of an authorization request without the client's
// credentials.
func withClient(form url.Values, client string) url.Values {
	clean := url.Values{}
	for name, values := range form {
		if name != "client_secret" && name != "client_assertion" && name != "client_assertion_type" {
			clean[name] = values
		}
	}
	clean.Set("client_id", client)
	return clean
}

func (t *tokenTable) push(now time.Time, form url.Values) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	sweepMap(t.pushed, func(r pushedRequest) bool { return now.After(r.expires) })
	uri := requestURIPrefix + rand.Text()
	t.pushed[uri] = pushedRequest{form, now.Add(pushLifetime)}
	return uri
}

// pushedOrPlain returns the parameters of an authorization request: those in the URL,
// or those to which its request_uri refers (RFC 9126 §4).
func (s *Server) pushedOrPlain(p *Policy, query url.Values) (form url.Values, fault string) {
	if !query.Has("request_uri") {
		if p.RequirePush {
			return nil, "This server takes an authorization request only if it was pushed."
		}
		return query, ""
	}
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	req, ok := s.tokens.pushed[query.Get("request_uri")]
	if !ok || !s.now().Before(req.expires) || req.form.Get("client_id") != query.Get("client_id") {
		return nil, "The request is unknown, was used, or has expired. Begin again in the program."
	}
	return req.form, ""
}

// spendPushed makes a request_uri good for one answer alone.
func (s *Server) spendPushed(query url.Values) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	delete(s.tokens.pushed, query.Get("request_uri"))
}
