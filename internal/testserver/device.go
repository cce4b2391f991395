package testserver

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A deviceRequest is a device that waits for its user (RFC 8628).
type deviceRequest struct {
	client    string
	scope     string
	resources []string
	userCode  string
	expires   time.Time
	interval  time.Duration
	polled    time.Time
	account   string // who said yes
	denied    bool
	spent     bool
}

// serveDevice serves the device authorization endpoint (RFC 8628 §3.1).
func (s *Server) serveDevice(w http.ResponseWriter, r *http.Request) {
	x, p := exchangeOf(r), s.policy.Load()
	err := wellFormed(r)
	var client string
	if err == nil {
		client, err = x.authenticate(p, r)
	}
	if err == nil && client == "" {
		err = badRequest("invalid_request", "client_id is missing")
	}
	if err != nil {
		x.note(func(e *Entry) { e.Error = err.code })
		writeTokenError(w, r, p, err)
		return
	}
	code, userCode := s.tokens.newDevice(p, s.now(), client, r.PostForm)
	m := members{"expires_in": seconds(p.deviceLifetime()), "interval": strconv.Itoa(int(p.pollInterval() / time.Second))}
	m.text("device_code", code)
	m.text("user_code", userCode)
	m.text("verification_uri", s.issuer+verifyPath)
	m.text("verification_uri_complete", s.issuer+verifyPath+"?user_code="+userCode)
	m.change(p.Device)
	writeAnswer(w, p, http.StatusOK, m)
}

func (t *tokenTable) newDevice(p *Policy, now time.Time, client string, form url.Values) (code, userCode string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sweepMap(t.devices, func(d *deviceRequest) bool { return now.After(d.expires.Add(time.Minute)) })
	code, userCode = "device-"+rand.Text(), newUserCode()
	t.devices[code] = &deviceRequest{
		client: client, scope: form.Get("scope"), resources: form["resource"],
		userCode: userCode, expires: now.Add(p.deviceLifetime()), interval: p.pollInterval(),
	}
	return code, userCode
}

// newUserCode returns a code of letters that make no words and can't be mistaken for
// others (RFC 8628 §6.1).
func newUserCode() string {
	const letters = "BCDFGHJKLMNPQRSTVWXZ"
	b := make([]byte, 8)
	rand.Read(b)
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b[:4]) + "-" + string(b[4:])
}

// deviceGrant carries out RFC 8628 §3.4 and §3.5.
func (t *tokenTable) deviceGrant(p *Policy, now time.Time, client string, form url.Values) (granted, *oauthError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.devices[form.Get("device_code")]
	switch {
	case d == nil || d.spent || d.client != client:
		return granted{}, badRequest("invalid_grant", "the device code is unknown, was used, or is another client's")
	case !now.Before(d.expires):
		return granted{}, badRequest("expired_token", "")
	}
	early := !d.polled.IsZero() && now.Sub(d.polled) < d.interval-100*time.Millisecond // a network does not keep step
	d.polled = now
	switch {
	case early:
		d.interval += 5 * time.Second
		return granted{}, badRequest("slow_down", "")
	case d.denied:
		return granted{}, badRequest("access_denied", "the user said no")
	case d.account == "":
		return granted{}, badRequest("authorization_pending", "")
	}
	target, err := narrowResources(d.resources, form["resource"])
	if err != nil {
		return granted{}, err
	}
	d.spent = true
	sess := &session{account: d.account, client: client, scope: d.scope, resources: d.resources}
	return t.beginLocked(p, now, sess, target), nil
}

// findDevice returns the device that waits under a code as a user types it.
func (t *tokenTable) findDevice(now time.Time, typed string) *deviceRequest {
	for _, d := range t.devices {
		if plainCode(d.userCode) == plainCode(typed) && now.Before(d.expires) && !d.spent && !d.denied && d.account == "" {
			return d
		}
	}
	return nil
}

func plainCode(code string) string {
	return strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
}

// AnswerDevice answers for the user of a device: yes in the name of account, or no if
// that is empty. It reports whether the code was one that is waiting.
func (s *Server) AnswerDevice(userCode, account string) bool {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	d := s.tokens.findDevice(s.now(), userCode)
	if d == nil {
		return false
	}
	d.account, d.denied = account, account == ""
	return true
}

// serveVerify serves the page where the code of a device is entered (RFC 8628 §3.3).
func (s *Server) serveVerify(w http.ResponseWriter, r *http.Request) {
	p := s.policy.Load()
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	r.ParseForm()
	account, code := s.signedIn(r), r.Form.Get("user_code")
	post := r.Method == http.MethodPost
	action := r.PostForm.Get("action")
	s.tokens.mu.Lock()
	d := s.tokens.findDevice(s.now(), code)
	var client, scope string
	if d != nil {
		client, scope = d.client, d.scope
	}
	s.tokens.mu.Unlock()
	here := verifyPath + "?user_code=" + url.QueryEscape(code)
	switch {
	case code == "" || d == nil:
		s.showCode(w, codePage{Code: code, Wrong: code != "", Action: verifyPath})
	case post && action == "sign in":
		s.signIn(w, r, p, url.Values{"client_id": {client}})
	case account == "":
		s.showLogin(w, loginPage{Client: client, Action: here}, http.StatusOK)
	case post && (action == "allow" || action == "deny"):
		if action == "deny" {
			account = ""
		}
		s.AnswerDevice(code, account)
		s.showDone(w, donePage{Allowed: account != ""})
	default:
		s.showConsent(w, consentPage{Client: client, Account: account, Scopes: strings.Fields(scope), Code: d.userCode, Action: here}, "")
	}
}
