package transport

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A glance says what the closer look says, at every moment of a token's life, however
// shortly before it was last looked at.
func TestGlance_is_what_a_look_says(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tok := rejectable(t, 0)
		edge := time.Until(tok.refreshAt)
		for _, step := range []time.Duration{0, 1, glanceTime - 1, 1, edge - 2*glanceTime, glanceTime - 2, 1, 1, time.Hour} {
			time.Sleep(step)
			want := tok.freshness(time.Now()) == fresh
			if got := tok.glance.at(tok); got != want {
				t.Errorf("%v before its refresh: %t, want %t", time.Until(tok.refreshAt), got, want)
			}
		}
	})
}

// Within the time of a glance the wall clock is not looked at, and after it, it is.
func TestGlance_spares_the_wall_clock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tok := rejectable(t, 0)
		tok.glance.at(tok)
		tok.refreshAt = time.Now().Add(-time.Hour) // as if the wall clock had been set
		time.Sleep(glanceTime - 1)
		if !tok.glance.at(tok) {
			t.Error("looked before its time")
		}
		time.Sleep(time.Nanosecond)
		if tok.glance.at(tok) {
			t.Error("not looked when it was time")
		}
	})
}

// What an API rejected, and what is worn, is not fresh for anybody who looks after that,
// also where others look at the same moment.
func TestGlance_ends(t *testing.T) {
	for what, end := range map[string]func(*issue){"rejected": (*issue).reject, "worn": (*issue).wear} {
		for range 1000 {
			_, tok := rejectable(t, 0)
			tok.glance.at(tok)
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() { tok.glance.at(tok) })
			}
			end(tok)
			if tok.glance.at(tok) {
				t.Fatalf("fresh, and %s", what)
			}
			wg.Wait()
			if tok.glance.at(tok) {
				t.Fatalf("fresh again, and %s", what)
			}
		}
	}
}
