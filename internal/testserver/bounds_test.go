package testserver

import (
	"testing"
	"time"
)

// A server that runs for long does not keep every token that it ever issued.
func TestTokensAreBounded(t *testing.T) {
	s := New()
	defer s.Close()
	p, now := &Policy{AccessLifetime: time.Second}, time.Now()
	rt := s.tokens.refresh[s.BeginSession("alice").RefreshToken]
	for range maxSpent + 1000 {
		now = now.Add(time.Second)
		g := s.tokens.renew(p, now, "app", rt, "", nil)
		rt = s.tokens.refresh[g.refresh]
	}
	if n := len(s.tokens.access); n > 5000 {
		t.Errorf("%d access tokens", n)
	}
	if n := len(s.tokens.refresh); n != maxSpent+1 {
		t.Errorf("%d refresh tokens, want %d", n, maxSpent+1)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s := New()
	defer s.Close()
	for range 10 {
		s.RevokeSession("alice")
		s.BeginSession("alice")
	}
	if n := len(s.tokens.sessions["alice"]); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}
