package transport

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// A lease is a context whose timer may not have fired although its deadline is
// over: while a machine sleeps only the wall clock goes on.
type lease struct {
	context.Context
	end time.Time
}

func (l lease) Deadline() (time.Time, bool) { return l.end, true }

func TestLate(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		want bool
	}{
		"no deadline":                 {context.Background(), false},
		"deadline ahead":              {lease{context.Background(), time.Now().Add(time.Hour)}, false},
		"deadline past, not fired":    {lease{context.Background(), time.Now().Add(-time.Nanosecond)}, true},
		"cancelled":                   {over, true},
		"cancelled, ahead of its end": {lease{over, time.Now().Add(time.Hour)}, true},
	} {
		if got := late(c.ctx); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// What is sent when the exclusion may be over could cross what another sends.
func TestAsk_sends_nothing_when_late(t *testing.T) {
	calls := 0
	src, err := NewSource(SourceConfig{Refresh: func(context.Context, tokenstore.Record, string) (tokenstore.Record, error) {
		calls++
		return tokenstore.Record{}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange{s: src, took: clocked(time.Now(), 0), asking: func() {}, saving: func() {}}
	made, err := x.ask(lease{context.Background(), time.Now().Add(-time.Second)})
	var re *RefreshError
	if !errors.As(err, &re) || re.Kind != StoreFailed || !errors.Is(err, errLate) {
		t.Errorf("error %v, want errLate of kind %s", err, StoreFailed)
	}
	if made != nil || x.sent || calls != 0 {
		t.Errorf("made %v, sent %t, %d calls; want nothing sent", made, x.sent, calls)
	}
}
