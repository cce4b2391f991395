package transport

import (
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// Callers join the flights of their own session, and none of one before.
func TestFlights_are_of_one_session(t *testing.T) {
	for what, test := range map[string]struct {
		change func(rec *tokenstore.Record)
		leaves bool
	}{
		"a refresh":     {func(rec *tokenstore.Record) { rec.Generation++ }, false},
		"a later login": {func(rec *tokenstore.Record) { rec.Session = tokenstore.NewSessionID(rec.Session) }, true},
		"a logout":      {func(rec *tokenstore.Record) { rec.Ended = true }, true},
	} {
		s, _ := rejectable(t, 0)
		rec := clocked(time.Now(), 0)
		publish := func(rec *tokenstore.Record) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.publishLocked(rec, true)
		}
		publish(rec)
		before := s.group()
		next := rec.Clone()
		test.change(&next)
		publish(&next)
		if left := s.group() != before; left != test.leaves {
			t.Errorf("%s: left %t, want %t", what, left, test.leaves)
		}
		running, over := make(chan struct{}), make(chan struct{})
		s.begin(func() { close(running); <-over }) // what else runs keeps the flights
		<-running
		before = s.group()
		if err := s.Forget(t.Context()); err != nil || s.group() == before {
			t.Errorf("Forget: %v, left %t", err, s.group() != before)
		}
		close(over)
	}
}
