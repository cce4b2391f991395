package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A logout is a call of Logout.
type logout struct {
	alone bool // the first of its process: it finds no end that another has made
	began time.Time
	ended time.Time // zero while it is under way
	wrote *family   // whose session it ended in the store
}

// logout signs a out, as its user does.
func (p *process) logout(a *user, within time.Duration) {
	m, l := p.model, &logout{began: time.Now()}
	m.mu.Lock()
	a.logouts = append(a.logouts, l)
	l.alone = p.out[a] == nil
	p.out[a] = l
	p.replaceBegins(a)
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := p.client.Session(a.name).Logout(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trace("%s: Logout %s: %v", p, a.name, err)
	if !p.replaceEnds(a, err) {
		return
	}
	l.ended = time.Now()
	var re *transport.RefreshError
	switch f := l.wrote; {
	case p.gone != "" || p.closing:
	case err == nil && f != nil && !f.told && !a.lostSince(l.began): // else the tombstone came over an older copy
		m.violated("%s: Logout %s: no error, and the server was not told", p, a.name)
	case err != nil && !errors.Is(err, client.ErrNotRevoked) && !errors.As(err, &re):
		m.violated("%s: Logout %s: the error has no type: %v", p, a.name, err)
	case err == nil && p.replacing[a] == 0:
		p.outTurns[a] = a.turns
	}
}

// endedBy reports whether a logout was to end what f began: one that was not over
// when the login came.
func (f *family) endedBy(logouts []*logout) bool {
	for _, l := range logouts {
		if l.ended.IsZero() || !l.ended.Before(f.begun) {
			return true
		}
	}
	return false
}

// loggedOut reports the same of all logouts.
func (f *family) loggedOut() bool { return f != nil && f.endedBy(f.account.logouts) }

// before reports whether the login was over when the logout began.
func (f *family) before(l *logout) bool {
	return f != nil && f.importing == 0 && f.imported.Before(l.began)
}

// missed reports whether the logout l could not know of the login f, which the store had lost.
func (f *family) missed(l *logout) bool { return f != l.wrote && f.account.lostSince(f.imported) }

// replaced reports whether a later login was stored.
func (m *model) replaced(f *family) bool {
	for _, t := range m.tokens {
		if t.family.account == f.account && t.family.begun.After(f.begun) && !t.stored.IsZero() {
			return true
		}
	}
	return false
}

// writingEnd judges the tombstone made, which p is about to write over was.
func (m *model) writingEnd(p *process, was, made *tokenstore.Record) {
	a := m.account(made.Account)
	if !made.RefreshToken.IsZero() || len(made.Access) > 0 || !made.IDToken.IsZero() || len(made.Extra) > 0 {
		m.violated("%s leaves a tombstone that has a secret: %v", p, made)
	}
	f := m.sessions[made.Session]
	if f != nil && !f.loggedOut() || len(a.logouts) == 0 {
		m.violated("%s ends the session of %s, and nobody asked for that", p, a.name)
	}
	if was != nil && !was.Ended {
		old := m.tokens[was.RefreshToken.Reveal()]
		if !old.family.loggedOut() {
			m.violated("%s writes a tombstone over %s, which nobody ended", p, old)
		}
		if l := p.out[a]; l != nil && l.alone && l.ended.IsZero() {
			l.wrote = old.family
		}
	}
	m.trace("  %s stores a tombstone", p)
	m.count["tombstones"]++
	if f != nil {
		f.tomb = time.Now()
	}
}

// revive judges a record that p writes over the tombstone was.
func (m *model) revive(p *process, was *tokenstore.Record, t *rtoken) {
	if f := m.sessions[was.Session]; f != nil && f == t.family {
		m.violated("%s brings %s back, which was logged out", p, t)
	}
}

// revoking judges that p has the server revoke a token.
func (m *model) revoking(p *process, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tokens[text]
	if t == nil {
		return // an access token, after its session's refresh token
	}
	m.count["revocations"]++
	m.trace("%s revokes %s", p, t)
	t.family.asked = true
	if !t.family.loggedOut() && !m.replaced(t.family) {
		m.violated("%s revokes %s, whose session lives", p, t)
	}
}

// judgeRevoked: the server was asked to revoke what was logged out, unless whoever had
// the tokens is gone, or the store lost them.
func (m *model) judgeRevoked(a *user, gone bool) {
	for _, f := range a.logins {
		if !f.tomb.IsZero() && !f.asked && !gone && len(a.lost) == 0 {
			m.violated("%s was logged out, and the server was not told", m.tokens[f.seed])
		}
	}
}

// told notes that the server has said so.
func (m *model) told(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.tokens[text]; t != nil {
		t.family.told = true
	}
}

// revoked notes that the server has done so.
func (m *model) revoked(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.tokens[text]; t != nil {
		m.trace("  server: %s is revoked", t)
		if t.family.dead == "" {
			t.family.dead = "it was revoked"
		}
	}
}

// serveRevocation is what happens to a request for a revocation.
func (m *machine) serveRevocation(w http.ResponseWriter, r *http.Request, act http.HandlerFunc) {
	m.nextFault()(w, r, func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		act(rec, r)
		if rec.Code == http.StatusOK {
			m.model.revoked(r.PostForm.Get("token"))
		}
		w.WriteHeader(rec.Code)
	})
}
