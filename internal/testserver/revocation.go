package testserver

import "net/http"

// serveRevocation serves the revocation endpoint (RFC 7009 §2). The hint is not
// looked at: a server that does not find the token by it looks everywhere.
func (s *Server) serveRevocation(w http.ResponseWriter, r *http.Request) {
	x, p := exchangeOf(r), s.policy.Load()
	err := wellFormed(r)
	if err == nil {
		_, err = x.authenticate(p, r)
	}
	if err == nil && !r.PostForm.Has("token") {
		err = badRequest("invalid_request", "token is missing")
	}
	if err != nil {
		x.note(func(e *Entry) { e.Error = err.code })
		writeTokenError(w, r, p, err)
		return
	}
	account := s.tokens.revoke(p, r.PostForm.Get("token"))
	x.note(func(e *Entry) { e.Granted, e.Account = account != "", account })
	w.WriteHeader(http.StatusOK) // for an unknown token, too (§2.2)
}

// revoke ends what the token stands for, and returns whose it was or "": with a
// refresh token goes its session and all the access tokens of that (§2.1).
func (t *tokenTable) revoke(p *Policy, text string) (account string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rt := t.refresh[text]; rt != nil {
		t.end(rt.session, true)
		return rt.session.account
	}
	if at := t.access[text]; at != nil {
		at.revoked = true
		if p.RevokeAll {
			t.end(at.session, true)
		}
		return at.session.account
	}
	return ""
}
