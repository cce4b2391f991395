package testserver

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// An authorizationRequest is what a client asks a user for (RFC 6749 §4.1.1), and who
// has said yes.
type authorizationRequest struct {
	client    string
	redirect  string
	state     string
	scope     string
	challenge string
	nonce     string
	jkt       string // of the key that has to come with the code (RFC 9449 §10)
	resources []string

	account string
	expires time.Time
	session *session // what its code has begun
}

// serveAuthorize serves the authorization endpoint: a page to sign in, one to say yes or
// no, and then the redirect.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	x, p := exchangeOf(r), s.policy.Load()
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	r.ParseForm()
	query := r.URL.Query()
	form, err := s.pushedOrPlain(p, query)
	if err != "" {
		s.showError(w, err)
		return
	}
	x.note(func(e *Entry) { e.ClientID, e.Form = form.Get("client_id"), form })
	if fault := p.redirectFault(form); fault != "" { // nobody is redirected
		s.showError(w, fault)
		return
	}
	req := requestOf(form)
	if code, fault := p.requestFault(form); code != "" {
		s.redirectBack(w, r, p, req, url.Values{"error": {code}, "error_description": {fault}})
		return
	}
	account := s.signedIn(r)
	switch action := r.PostForm.Get("action"); {
	case r.Method == http.MethodPost && action == "sign in":
		s.signIn(w, r, p, form)
	case account == "" || form.Get("prompt") == "login" && r.Method == http.MethodGet && !query.Has("signed_in"):
		s.showLogin(w, loginPage{Client: req.client, Account: form.Get("login_hint"), Action: r.URL.RequestURI()}, http.StatusOK)
	case r.Method == http.MethodPost && action == "allow":
		req.account = account
		s.spendPushed(query)
		s.redirectBack(w, r, p, req, url.Values{"code": {s.tokens.newCode(p, s.now(), req)}})
	case r.Method == http.MethodPost && action == "deny":
		s.spendPushed(query)
		s.redirectBack(w, r, p, req, url.Values{"error": {"access_denied"}, "error_description": {"the user said no"}})
	default:
		s.showConsent(w, consentPage{Client: req.client, Account: account, Scopes: strings.Fields(req.scope), Action: r.URL.RequestURI()}, originOfURL(req.redirect))
	}
}

func requestOf(form url.Values) authorizationRequest {
	return authorizationRequest{
		client: form.Get("client_id"), redirect: form.Get("redirect_uri"), state: form.Get("state"), scope: form.Get("scope"),
		challenge: form.Get("code_challenge"), nonce: form.Get("nonce"), jkt: form.Get("dpop_jkt"), resources: slices.Clone(form["resource"]),
	}
}

// redirectFault says why nobody may be sent to the redirect URI of a request (RFC 6749
// §4.1.2.1).
func (p *Policy) redirectFault(form url.Values) string {
	id, redirect := form.Get("client_id"), form.Get("redirect_uri")
	if _, known := p.Clients[id]; p.Clients != nil && !known || id == "" {
		return "The client is unknown."
	}
	if u, err := url.Parse(redirect); err != nil || u.Scheme == "" || u.Fragment != "" {
		return "The redirect URI is not a URL."
	}
	same := func(registered string) bool { return withoutPort(registered) == withoutPort(redirect) }
	if p.RedirectURIs != nil && !slices.ContainsFunc(p.RedirectURIs, same) {
		return "The redirect URI is not registered."
	}
	return ""
}

// withoutPort takes the port off a redirect URI on a loopback address (RFC 8252 §7.3).
func withoutPort(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" {
		return redirect
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		u.Host = u.Hostname()
	}
	return u.String()
}

// requestFault returns the error of a request that is answered by a redirect.
func (p *Policy) requestFault(form url.Values) (code, description string) {
	for name, values := range form {
		if len(values) > 1 && name != "resource" {
			return "invalid_request", name + " is there twice"
		}
	}
	switch {
	case form.Get("response_type") != "code":
		return "unsupported_response_type", ""
	case !p.AllowPlain && (form.Get("code_challenge_method") != "S256" || len(form.Get("code_challenge")) != 43):
		return "invalid_request", "a code challenge by S256 is required"
	case slices.ContainsFunc(form["resource"], func(r string) bool { return strings.Contains(r, "#") || !strings.Contains(r, ":") }):
		return "invalid_target", ""
	}
	return "", ""
}

// redirectBack answers a client through the browser (RFC 6749 §4.1.2, RFC 9207).
func (s *Server) redirectBack(w http.ResponseWriter, r *http.Request, p *Policy, req authorizationRequest, params url.Values) {
	if code := params.Get("error"); code != "" {
		exchangeOf(r).note(func(e *Entry) { e.Error = code })
	}
	if req.state != "" {
		params.Set("state", req.state)
	}
	switch p.Iss {
	case "":
		params.Set("iss", s.issuer)
	case Omit:
	default:
		params.Set("iss", p.Iss)
	}
	u, _ := url.Parse(req.redirect)
	query := u.Query()
	for name, values := range params {
		query[name] = values
	}
	u.RawQuery = query.Encode()
	secure(w.Header(), "")
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}

// newCode keeps what was said yes to until its code comes.
func (t *tokenTable) newCode(p *Policy, now time.Time, req authorizationRequest) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	req.expires = now.Add(p.codeLifetime())
	code := "code-" + rand.Text()
	sweepMap(t.codes, func(req *authorizationRequest) bool { return now.After(req.expires.Add(time.Minute)) })
	t.codes[code] = &req
	return code
}

// sweepMap keeps a long run from filling the memory.
func sweepMap[V any](m map[string]V, over func(V) bool) {
	if len(m) > 4096 {
		maps.DeleteFunc(m, func(_ string, v V) bool { return over(v) })
	}
}

// codeGrant carries out RFC 6749 §4.1.3.
func (t *tokenTable) codeGrant(p *Policy, now time.Time, client, jkt string, form url.Values) (granted, *oauthError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	req := t.codes[form.Get("code")]
	switch {
	case req == nil:
		return granted{}, badRequest("invalid_grant", "the code is unknown")
	case req.session != nil:
		t.end(req.session, true)
		return granted{}, badRequest("invalid_grant", "the code was used before")
	case !now.Before(req.expires):
		return granted{}, badRequest("invalid_grant", "the code expired")
	case client != req.client:
		return granted{}, badRequest("invalid_grant", "the code is another client's")
	case form.Get("redirect_uri") != req.redirect:
		return granted{}, badRequest("invalid_grant", "the redirect_uri is another")
	case req.challenge != "" && s256(form.Get("code_verifier")) != req.challenge:
		return granted{}, badRequest("invalid_grant", "the code_verifier is wrong")
	}
	if req.jkt != "" && req.jkt != jkt {
		return granted{}, badRequest("invalid_grant", "the code is bound to another key")
	}
	target, err := narrowResources(req.resources, form["resource"])
	if err != nil {
		return granted{}, err
	}
	req.session = &session{account: req.account, client: client, scope: req.scope, nonce: req.nonce, resources: req.resources}
	return t.beginLocked(p, now, req.session, target), nil
}

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64url(sum[:])
}

// narrowResources returns for what a token is (RFC 8707 §2.2).
func narrowResources(have, want []string) ([]string, *oauthError) {
	for _, r := range want {
		if strings.Contains(r, "#") || len(have) > 0 && !slices.Contains(have, r) {
			return nil, badRequest("invalid_target", "the resource was not granted")
		}
	}
	if len(want) == 0 {
		return have, nil
	}
	return want, nil
}

func originOfURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
