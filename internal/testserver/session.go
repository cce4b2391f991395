package testserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// A session is what one login began.
type session struct {
	account   string
	client    string // the first that used it; "" before
	scope     string
	nonce     string   // for id_tokens
	jkt       string   // of the key to which its refresh tokens are bound (RFC 9449 §5)
	resources []string // what it was granted for (RFC 8707); nil is everything
	ended     bool
	alive     uint64 // access tokens with a smaller serial are dead
}

type accessToken struct {
	session   *session
	serial    uint64
	scope     string
	resources []string // for which alone it is; nil is everything
	expires   time.Time
	revoked   bool
	jkt       string // of the key to which it is bound (RFC 9449 §6)
}

type refreshToken struct {
	text    string
	session *session
	expires time.Time // zero: never
	spent   bool
	spentAt time.Time
	next    []*refreshToken // its successors
}

// maxSpent is how many spent refresh tokens the server knows again. Older ones
// are unknown tokens to it.
const maxSpent = 1 << 16

// A tokenTable has every session and token.
type tokenTable struct {
	mu       sync.Mutex        // guards all
	key      []byte            // signs access tokens that are JWTs
	signer   *ecdsa.PrivateKey // signs id_tokens
	issuer   string            // of those
	codes    map[string]*authorizationRequest
	pushed   map[string]pushedRequest
	devices  map[string]*deviceRequest
	jtis     map[string]bool // of clients' JWTs
	serial   uint64
	access   map[string]*accessToken
	refresh  map[string]*refreshToken
	sessions map[string][]*session // by account
	spent    []string              // oldest first
	sweepAt  int                   // when access has so many, those that are long dead go
}

func (t *tokenTable) init() {
	t.key = []byte(rand.Text())
	t.signer, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // it never fails
	t.codes = make(map[string]*authorizationRequest)
	t.pushed = make(map[string]pushedRequest)
	t.devices = make(map[string]*deviceRequest)
	t.jtis = make(map[string]bool)
	t.access = make(map[string]*accessToken)
	t.refresh = make(map[string]*refreshToken)
	t.sessions = make(map[string][]*session)
	t.sweepAt = 4096
}

// knows reports whether text is a token that the server issued.
func (t *tokenTable) knows(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.access[text] != nil || t.refresh[text] != nil
}

// Tokens is what a login brings. Printed, it shows fingerprints.
type Tokens struct {
	AccessToken  string
	RefreshToken string
	TokenType    string
	Scope        string
	ExpiresIn    time.Duration // of the access token
	IDToken      string        // empty unless [Policy].IDToken
}

// Format prints no secret, for every verb.
func (t Tokens) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "at=%s rt=%s scope=%q expires_in=%s",
		Fingerprint(t.AccessToken), Fingerprint(t.RefreshToken), t.Scope, t.ExpiresIn)
}

// MarshalText returns what is printed.
func (t Tokens) MarshalText() ([]byte, error) { return fmt.Append(nil, t), nil }

// BeginSession begins a session of account and returns its first tokens, as a
// login does. Earlier sessions of the account go on. Without a scope it gets
// [Policy].Scope. The session becomes that of the first client that refreshes it.
func (s *Server) BeginSession(account string, scope ...string) Tokens {
	p := s.policy.Load()
	sess := &session{account: account, scope: strings.Join(scope, " ")}
	g := s.tokens.begin(p, s.now(), sess)
	return Tokens{
		AccessToken:  g.access,
		RefreshToken: g.refresh,
		TokenType:    p.tokenType(false),
		Scope:        g.scope,
		ExpiresIn:    p.accessLifetime(),
		IDToken:      g.idToken,
	}
}

func (t *tokenTable) begin(p *Policy, now time.Time, sess *session) granted {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.beginLocked(p, now, sess, nil)
}

func (t *tokenTable) beginLocked(p *Policy, now time.Time, sess *session, resources []string) granted {
	if sess.scope == "" {
		sess.scope = p.scope()
	}
	old := slices.DeleteFunc(t.sessions[sess.account], func(s *session) bool { return s.ended })
	t.sessions[sess.account] = append(old, sess)
	g := t.issueAccess(p, now, sess, sess.scope, resources)
	g.refresh = t.issueRefresh(p, now, sess).text
	g.idToken = t.idToken(p, now, sess)
	return g
}

func (t *tokenTable) issueAccess(p *Policy, now time.Time, sess *session, scope string, resources []string) granted {
	t.serial++
	expires := now.Add(p.accessLifetime())
	text := newToken("at-", p.TokenSize)
	if p.AccessJWT {
		text = t.accessJWT(now, expires, sess, scope)
	}
	t.access[text] = &accessToken{session: sess, serial: t.serial, scope: scope, resources: resources, expires: expires}
	t.sweep(now)
	return granted{account: sess.account, access: text, scope: scope, expires: expires}
}

func (t *tokenTable) issueRefresh(p *Policy, now time.Time, sess *session) *refreshToken {
	rt := &refreshToken{
		text:    newToken("rt-", p.TokenSize),
		session: sess,
		expires: in(now, p.RefreshLifetime),
	}
	t.refresh[rt.text] = rt
	return rt
}

func newToken(prefix string, size int) string {
	text := prefix + rand.Text()
	return text + strings.Repeat("x", max(0, size-len(text)))
}

// sweep keeps a long run from filling the memory: access tokens that are dead
// for a minute become unknown ones.
func (t *tokenTable) sweep(now time.Time) {
	if len(t.access) < t.sweepAt {
		return
	}
	for text, at := range t.access {
		if now.Sub(at.expires) > time.Minute {
			delete(t.access, text)
		}
	}
	t.sweepAt = max(4096, 2*len(t.access))
}

// spend marks rt as used.
func (t *tokenTable) spend(rt *refreshToken, now time.Time) {
	rt.spent, rt.spentAt = true, now
	t.spent = append(t.spent, rt.text)
	if len(t.spent) > maxSpent {
		delete(t.refresh, t.spent[0])
		t.spent = t.spent[1:]
	}
}

// end ends the session; with access, its access tokens die too.
func (t *tokenTable) end(sess *session, access bool) {
	sess.ended = true
	if access {
		sess.alive = t.serial + 1
	}
}

// The faults of an access token, in the words of its 401.
const (
	faultUnknown = "the access token is unknown"
	faultRevoked = "the access token was revoked"
	faultExpired = "the access token expired"

	faultResource = "the access token is for another resource"
)

// serves reports whether the token is for an API at o. A resource that is no URL of the
// web may be any (RFC 8707 §2).
func (at *accessToken) serves(o origin) bool {
	return len(at.resources) == 0 || slices.ContainsFunc(at.resources, func(r string) bool {
		of := originOfURL(r)
		return of == "" || of == o.scheme+"://"+o.host
	})
}

// check returns the access token, and what is wrong with it or "".
func (t *tokenTable) check(text string, now time.Time) (at accessToken, account, fault string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.access[text]
	switch {
	case found == nil:
		return accessToken{}, "", faultUnknown
	case found.revoked || found.serial < found.session.alive:
		fault = faultRevoked
	case !now.Before(found.expires):
		fault = faultExpired
	}
	return *found, found.session.account, fault
}

// RevokeAccessToken makes the API refuse the token from now on, and reports
// whether the server knew it. Of a front that is true of every token, and the
// authorization server holds it to be good still.
func (s *Server) RevokeAccessToken(token string) bool {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	at := s.tokens.access[token]
	if at == nil && s.upstream != nil {
		at = &accessToken{session: new(session)}
		s.tokens.access[token] = at
	}
	if at != nil {
		at.revoked = true
	}
	return at != nil
}

// RevokeAllAccess makes the API refuse every access token issued so far. The
// sessions live on.
func (s *Server) RevokeAllAccess() {
	s.eachAccess(func(at *accessToken) { at.revoked = true })
}

// ExpireAccess makes every access token issued so far expire now, earlier than
// it was told.
func (s *Server) ExpireAccess() {
	now := s.now()
	s.eachAccess(func(at *accessToken) {
		if now.Before(at.expires) {
			at.expires = now
		}
	})
}

func (s *Server) eachAccess(f func(*accessToken)) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	for _, at := range s.tokens.access {
		f(at)
	}
}

// EndSession ends the sessions of account with all their tokens: refresh tokens
// are invalid_grant from now on, and the API refuses the access tokens.
func (s *Server) EndSession(account string) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	for _, sess := range s.tokens.sessions[account] {
		s.tokens.end(sess, true)
	}
}

// RevokeSession ends the sessions of account: their refresh tokens are
// invalid_grant from now on. Access tokens work until they expire, as they do
// at most servers; see [Server.RevokeAllAccess].
func (s *Server) RevokeSession(account string) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	for _, sess := range s.tokens.sessions[account] {
		s.tokens.end(sess, false)
	}
}
