package transport

import (
	"testing"
	"time"
)

// A clock that is set back ends a span; one that goes on does so at its end.
func TestSpan(t *testing.T) {
	now := time.Now()
	p := newSpan(now, time.Minute)
	for after, want := range map[time.Duration]time.Duration{
		0: time.Minute, time.Second: 59 * time.Second, time.Minute - 1: 1, time.Minute: 0, time.Hour: 0, -1: 0, -time.Hour: 0,
	} {
		if got := p.left(now.Add(after).Round(0)); got != want {
			t.Errorf("after %s %s are left, want %s", after, got, want)
		}
	}
	if got := (span{}).left(now); got != 0 {
		t.Errorf("of the zero span %s are left", got)
	}
}

// Failures are counted, but for those where somebody only asked again.
func TestPause_counts(t *testing.T) {
	type failure struct {
		kind     Kind
		validFor time.Duration
		count    int
	}
	for name, list := range map[string][]failure{
		"server down":                     {{Transient, 0, 1}, {Transient, time.Hour, 2}, {Transient, 0, 3}},
		"over, and asked again":           {{LoginRequired, 0, 1}, {LoginRequired, 0, 1}, {LoginRequired, 0, 1}},
		"over, while a token still works": {{LoginRequired, time.Hour, 1}, {LoginRequired, time.Hour, 2}},
		"down, then over":                 {{Transient, 0, 1}, {LoginRequired, 0, 2}},
		"over, then down":                 {{LoginRequired, 0, 1}, {Transient, 0, 2}},
	} {
		var p pause
		for i, f := range list {
			if p = p.after(&RefreshError{Kind: f.kind}, f.validFor, time.Now()); p.failures != f.count {
				t.Errorf("%s: %d failures after %d, want %d", name, p.failures, i+1, f.count)
			}
		}
	}
}

// Who has to correct a configuration takes his time, whether or not a token still
// works.
func TestPause_of_a_wrong_configuration(t *testing.T) {
	now := time.Now()
	p := pause{}.after(&RefreshError{Kind: Misconfigured}, time.Hour, now)
	for _, f := range []freshness{expired, stale} {
		if left := p.span(f).left(now); left < misconfiguredWait*3/4 || left > misconfiguredWait*5/4 {
			t.Errorf("a pause of %s", left)
		}
	}
}

func TestJitter(t *testing.T) {
	least, most := time.Hour, time.Duration(0)
	for range 10000 {
		d := jitter(time.Minute)
		least, most = min(least, d), max(most, d)
	}
	if least < 45*time.Second || least > 46*time.Second || most > 75*time.Second || most < 74*time.Second {
		t.Errorf("between %s and %s, want a minute more or less a quarter", least, most)
	}
	if d := jitter(0); d != 0 {
		t.Errorf("jitter of nothing is %s", d)
	}
}
