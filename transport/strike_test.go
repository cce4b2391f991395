package transport

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// Which rejected tokens are strikes.
func TestStrike(t *testing.T) { synctest.Test(t, testStrike) }

func testStrike(t *testing.T) {
	type token struct {
		age                time.Duration
		noRemedy, accepted bool
	}
	for name, test := range map[string]struct {
		token token
		want  int
	}{
		"came for a rejected one":         {token{age: time.Hour / 2}, 1},
		"came for none":                   {token{age: time.Hour / 2, noRemedy: true}, 0},
		"taken once, then rejected":       {token{age: breakerTrial - 1, accepted: true}, 1},
		"taken for a second":              {token{age: breakerTrial, accepted: true}, 0},
		"taken for longer":                {token{age: breakerTrial * 3 / 2, accepted: true}, 0},
		"due for a refresh when rejected": {token{age: 59 * time.Minute}, 0},
		"expired":                         {token{age: 2 * time.Hour}, 0},
	} {
		src, tok := rejectable(t, test.token.age)
		tok.remedy = !test.token.noRemedy
		tok.accepted.Store(test.token.accepted)
		src.strike(tok)
		src.strike(tok) // counts once
		if got := src.troubleLocked().breaker.strikes; got != test.want {
			t.Errorf("%s: %d strikes, want %d", name, got, test.want)
		}
	}
}

// rejectable returns a Source, and a token of an hour that was issued that long
// ago.
func rejectable(t *testing.T, age time.Duration) (*Source, *issue) {
	t.Helper()
	src, err := NewSource(SourceConfig{Refresh: func(_ context.Context, old tokenstore.Record, _ string) (tokenstore.Record, error) {
		return old, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return src, newIssue(clocked(time.Now(), -age), 0, DefaultRefreshBefore)
}

// Which accepted tokens close the breaker, whose time is over.
func TestAccept(t *testing.T) {
	closed := 0
	count := func(b Breaker) {
		if !b.Open && b.Key == "session" {
			closed++
		}
	}
	src, tok := rejectable(t, time.Minute)
	src.cfg.Observer = &Observer{Breaker: count}
	accept := func(want int, what string) {
		t.Helper()
		src.troubleLocked().breaker.opened = 1
		if src.accept(tok); closed != want {
			t.Errorf("%s: closed %d times, want %d", what, closed, want)
		}
	}
	accept(0, "a token that came for none")
	tok.remedy = true
	accept(1, "one that came for a rejected one")
	accept(1, "the same again")
}

func TestIssue_is(t *testing.T) {
	_, tok := rejectable(t, 0)
	_, other := rejectable(t, 0)
	if !tok.is(tok) || tok.is(nil) || (*issue)(nil).is(tok) || tok.is(other) {
		t.Error("an issue is itself, and neither none nor that of another session")
	}
}
