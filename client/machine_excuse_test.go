package client_test

import "time"

// excuse returns why t may be sent although the server has answered it, or "".
func (m *model) excuse(t *rtoken) string {
	for _, s := range t.sends {
		switch {
		case !s.granted:
			continue
		case s.fate == "crash":
			return "crash between request and answer"
		case s.fate == "late":
			return "answer after the timeout"
		case !s.heard:
			return "answer lost"
		}
		if why := m.excuseAfter(s); why != "" {
			return why
		}
	}
	return ""
}

// excuseAfter returns why what s brought may be in no hands any more, or "".
func (m *model) excuseAfter(s *send) string {
	next, a := s.token.next, s.token.family.account
	for how, at := range a.lost {
		if !at.Before(s.ended) || !next.stored.IsZero() && !at.Before(next.stored) {
			return "store lost it: " + how
		}
	}
	switch {
	case !next.stored.IsZero():
		return ""
	case s.conflict:
		return "exclusion lost between answer and save"
	case s.by.gone == "crash":
		return "crash between answer and save"
	case s.by.gone == "closed unsaved":
		return "Close could not save it"
	case s.by.replacing[a] > 0 || !s.by.replaced[a].Before(s.ended):
		return "given up for a login or Forget"
	}
	return ""
}

// truth returns the newest record of what is stored and what p has.
func (m *model) truth(p *process, a *user) (v version, found bool) {
	v, found = p.known[a]
	if r := p.shelf.record(a.key); r != nil && (!found || versionOf(r).newer(v)) {
		return versionOf(r), true
	}
	return v, found
}

// excuseLogin returns why process p may say that account a needs a login, or "".
// since is when the caller asked.
func (m *model) excuseLogin(p *process, a *user, since time.Time) string {
	truth, found := m.truth(p, a)
	if !found {
		return "no session"
	}
	if last := p.last[a]; last != nil && last.refused && time.Since(last.ended) == 0 {
		return "refused at this moment" // and another may have brought a better one by now
	}
	switch {
	case truth.ended:
		return "logged out"
	case p.out[a] != nil && p.client.Session(a.name).Status().Unsaved:
		return "logged out here, which is not stored" // nor is the store looked at
	}
	t := m.tokens[truth.refreshToken]
	if t.family.loggedOut() {
		return "logged out, perhaps"
	}
	if t.family.dead != "" {
		return t.family.dead
	}
	for _, s := range t.sends {
		if s.refused && s.by == p && since.Sub(s.ended) <= time.Hour {
			return "refused by mistake"
		}
	}
	return ""
}
