package client_test

import (
	"cmp"
	"errors"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// sending judges a token request that p sends, and notes it.
func (m *model) sending(p *process, refreshToken string) *send {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &send{by: p, token: m.tokens[refreshToken], began: time.Now()}
	if s.token == nil {
		m.violated("a refresh token is sent that the server never issued")
		s.token = &rtoken{family: &family{account: m.accounts[0]}}
	}
	t, a := s.token, s.token.family.account
	m.trace("%s sends %s", p, t)
	m.count["token requests"]++
	m.judgeUpdate(s, a.inside)
	for _, other := range p.machine.sent {
		if other.token.family.account == a && other.ended.IsZero() {
			m.violated("two requests at once: %s while %s waits for the answer to %s", t, other.by, other.token)
		}
	}
	for _, last := range t.sends {
		m.judgeAgain(s, last)
	}
	if last := p.last[a]; last != nil {
		m.judgePause(s, last)
	}
	t.sends = append(t.sends, s)
	p.machine.sent = append(p.machine.sent, s)
	p.last[a] = s
	return s
}

// judgeUpdate: what is sent is what the store holds, read with the exclusion held,
// and its access token is due.
func (m *model) judgeUpdate(s *send, u *update) {
	if u == nil || u.by != s.by {
		m.violated("%s sends %s without the exclusion", s.by, s.token)
		return
	}
	s.update = u.n
	if u.read == nil || m.tokens[u.read.RefreshToken.Reveal()] != s.token {
		m.violated("%s sends %s, and the store holds %v", s.by, s.token, u.read)
		return
	}
	s.by.learn(s.token.family.account, versionOf(u.read))
	at, ok := u.read.Token("")
	if !ok {
		return
	}
	s.validFor = time.Until(at.Expiry)
	window := min(transport.DefaultRefreshBefore, at.Expiry.Sub(at.Issued)/4)
	if early := s.validFor - window; early > 2*time.Second && !s.by.rejected[at.Token.Reveal()] {
		m.violated("%s refreshes %s %s too early", s.by, s.token, early)
	}
}

// judgeAgain: no token is sent again once its answer has come.
func (m *model) judgeAgain(s, last *send) {
	switch {
	case last.heard:
		why := m.excuse(s.token)
		if why == "" {
			m.violated("%s sends %s again, whose answer came to %s", s.by, s.token, last.by)
			return
		}
		m.count["sent again: "+why]++
	case last.refused && last.by == s.by && last.news == s.token.family.account.news && s.began.Sub(last.ended) < time.Hour:
		m.violated("%s sends %s again %s after it was refused", s.by, s.token, s.began.Sub(last.ended))
	}
}

// judgePause: after a failure there is a pause, which doubles, unless there was news of
// the session; a lost answer alone is asked for again at once, and once.
func (m *model) judgePause(s, last *send) {
	a := s.token.family.account
	gap := s.began.Sub(last.ended)
	if s.update == last.update {
		if last.fate != "lost" || s.by.prompt == s.update {
			m.violated("%s sends %s again at once", s.by, s.token)
		}
		s.by.prompt = s.update
		return
	}
	if last.heard || last.refused || last.news != a.news {
		s.by.failures[a] = 0
		return
	}
	s.by.failures[a]++
	longest := 30 * time.Second
	if last.validFor > 0 {
		longest = min(longest, max(last.validFor/4, 500*time.Millisecond))
	}
	want := min(500*time.Millisecond<<min(s.by.failures[a]-1, 10), longest) * 3 / 4
	if last.unknown {
		want = max(want, 5*time.Second)
	}
	if want = max(want, last.wait); gap < want {
		m.violated("%s asks again %s after failure %d (%s), want a pause of %s", s.by, gap, s.by.failures[a], last.fate, want)
	}
}

// acted notes what the server did about s: next is the refresh token that it
// issued, "" where it refused.
func (m *model) acted(s *send, next string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := s.token
	if next != "" {
		s.granted = true
		if t.next == nil {
			t.next = &rtoken{family: t.family, n: t.n + 1}
			m.tokens[next] = t.next
		}
		m.count["refreshes"]++
		m.trace("  server: %s → %s", t, t.next)
		return
	}
	m.trace("  server refuses %s", t)
	if t.next == nil || t.family.dead != "" {
		return
	}
	why := m.excuse(t)
	if s.fate == "late" || s.fate == "crash" {
		why = "request arrived after its sender was gone"
	}
	if why == "" {
		m.violated("%s is refused as used before: the session is lost", t)
		why = "violation"
	}
	t.family.dead = why
	m.count["session lost: "+why]++
}

// finished notes how s ended for its sender.
func (m *model) finished(s *send, fate string) {
	s.fate, s.ended = fate, time.Now()
	a := s.token.family.account
	s.news = a.news
	s.unknown = s.unknown || fate == "lost" || fate == "late"
	s.validFor -= s.ended.Sub(s.began)
	m.trace("  %s to %s: %s", s.by, s.token, fate)
}

// writing judges the record made, which p is about to write over was, and notes it.
func (m *model) writing(p *process, was, made *tokenstore.Record) {
	t, a := m.tokens[made.RefreshToken.Reveal()], m.account(made.Account)
	replaced := a.last != nil && a.lostSince(a.last.began) // was is not what the Update has read
	if was != nil && !replaced {
		old, new := versionOf(was), versionOf(made)
		switch {
		case new == old:
		case !new.newer(old):
			m.violated("%s writes %v over the newer %v", p, made, was)
		case made.Ended:
		case was.Ended:
			m.revive(p, was, t)
		default:
			m.judgeLogins(p, m.tokens[old.refreshToken], t)
		}
	}
	if a.news++; was == nil || was.Session != made.Session || made.Ended {
		a.turns++
	}
	if made.Ended {
		m.writingEnd(p, was, made)
		return
	}
	m.sessions[made.Session] = t.family
	m.trace("  %s stores %s", p, t)
	if at, ok := made.Token(""); ok {
		m.issued[at.Token.Reveal()].settled = true
	}
	t.stored = time.Now()
}

// judgeLogins: a login that was over before another began is not written over that.
func (m *model) judgeLogins(p *process, old, new *rtoken) {
	if old.family == new.family {
		if new.n < old.n {
			m.violated("%s writes %s over %s", p, new, old)
		}
		return
	}
	if f := new.family; f.importing == 0 && f.imported.Before(old.family.begun) {
		m.violated("%s writes %s over the later login %s", p, new, old)
	}
}

// judgeError judges err, which a call brought.
func (m *model) judgeError(c *call, err error) {
	p, a := c.p, c.a
	var re *transport.RefreshError
	switch {
	case p.closing:
	case !errors.As(err, &re):
		m.violated("%s: %s: the error has no type: %v", p, a.name, err)
	case (re.Kind == transport.LoginRequired) != errors.Is(err, client.ErrLoginRequired):
		m.violated("%s: %s: kind %s, and ErrLoginRequired is %t: %v", p, a.name, re.Kind, errors.Is(err, client.ErrLoginRequired), err)
	case re.Kind == transport.LoginRequired:
		why := cmp.Or(m.excuseLogin(p, a, c.start), c.excuse)
		if why == "" && (c.turns != a.turns || p.replacing[a] > 0) {
			why = "another login came meanwhile"
		}
		if why == "" {
			m.violated("%s: %s: login required, and the session lives: %v", p, a.name, err)
		}
		m.count["login required: "+why]++
	case re.Kind == transport.Misconfigured:
		m.violated("%s: %s: %v", p, a.name, err)
	case re.Kind == transport.Transient && m.stale(c):
		m.violated("%s: %s: after a login, the error of the session before: %v", p, a.name, err)
	default:
		m.count["error: "+re.Kind.String()]++
	}
}

// judgeToken notes a token that a caller got from p.
func (m *model) judgeToken(p *process, a *user, tok transport.Token, turns int) {
	if tok.Account() != a.name {
		m.violated("%s: a caller for %s gets a token of %s", p, a.name, tok.Account())
	}
	if e := tok.Expiry(); !e.IsZero() && !time.Now().Before(e) {
		m.violated("%s: %s: a token is handed out %s after its end", p, a.name, time.Since(e))
	}
	v := m.issued[tok.Reveal()]
	if v == nil {
		m.violated("%s: %s: a token is handed out that was in no record", p, a.name)
		return
	}
	takenOver := p.replacing[a] > 0 || !p.replaced[a].Before(v.seen) // which ends a save
	if early := 2*time.Second - time.Since(v.seen); !v.settled && early > 0 && !takenOver {
		m.violated("%s: %s: a token is handed out %s before it need be unsaved", p, a.name, early)
	}
	delete(p.served, a)
	if turns != a.turns || p.replacing[a] > 0 { // it may be forgotten by now
		return
	}
	if p.forgot[a] {
		m.violated("%s: %s: a token is handed out after Forget", p, a.name)
	}
	f := m.sessions[v.session]
	if at, found := p.outTurns[a]; found && at == turns && f.before(p.out[a]) && !f.missed(p.out[a]) {
		m.violated("%s: %s: a token is handed out after Logout", p, a.name)
	}
	p.learn(a, v.version)
	if truth, _ := m.truth(p, a); truth.session == v.session { // else it may find the later login at any time
		p.served[a] = served{tok, v.version, turns}
	}
}

// judgeStored: when all is calm, or after a Close that worked, all that came is stored, or gave
// way to something else.
func (m *model) judgeStored(p *process) {
	for _, a := range m.accounts {
		unreadable := p.shelf.get(a.key) != nil && p.shelf.record(a.key) == nil // and a login alone replaces that
		if !unreadable && p.client.Session(a.name).Status().Unsaved {
			m.violated("%s: all is calm, and %s is unsaved", p, a.name)
		}
	}
	for _, s := range p.last {
		if s.heard && s.token.next.stored.IsZero() && m.excuseAfter(s) == "" && !s.token.family.loggedOut() {
			m.violated("%s: all is calm, and %s is not stored", p, s.token.next)
		}
	}
}

// stale reports whether a call that began after a login failed though nothing was sent since.
func (m *model) stale(c *call) bool {
	login, last := c.p.began[c.a], c.p.last[c.a]
	return !login.IsZero() && login.Before(c.start) && last != nil && !last.ended.IsZero() && last.ended.Before(login)
}
