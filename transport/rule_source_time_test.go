package transport

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// clocked returns a record with one token, of one hour, issued when the clock
// was step ahead of now.
func clocked(now time.Time, step time.Duration) *tokenstore.Record {
	rec := &tokenstore.Record{Session: tokenstore.NewSessionID(""), Generation: 1, RefreshToken: tokenstore.NewSecret("rt")}
	issued := now.Add(step)
	rec.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret("at"), Issued: issued, Expiry: issued.Add(time.Hour)})
	return rec
}

func TestRule065_expiry_judged_by_wall_time(t *testing.T) {
	t.Run("suspended", func(t *testing.T) {
		now := time.Now()
		tok := newIssue(clocked(now.Round(0), 0), 0, DefaultRefreshBefore)
		// After the wake the monotonic clock shows what it did before.
		wake := now.Round(0).Add(2 * time.Hour)
		if got := tok.freshness(wake); got != expired {
			t.Errorf("freshness %d after two hours of sleep, want expired", got)
		}
		if left := newSpan(now, time.Hour).left(wake); left != 0 {
			t.Errorf("%s of a pause of an hour are left after two", left)
		}
	})
	t.Run("handed out", func(t *testing.T) { // not in a bubble, whose clock has no monotonic reading
		src, err := NewSource(SourceConfig{Refresh: func(_ context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
			old.SetToken(tokenstore.AccessToken{Target: target, Token: tokenstore.NewSecret("at"), Expiry: time.Now().Add(time.Hour)})
			old.SetToken(tokenstore.AccessToken{Target: "other", Token: tokenstore.NewSecret("at"), Expiry: time.Now().Add(time.Hour)})
			return old, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		wantWallTime(t, src)
		rec := clocked(time.Now(), 0)
		rec.Access[0].Issued = time.Time{}
		if err := src.Set(t.Context(), *rec); err != nil {
			t.Fatal(err)
		}
		wantWallTime(t, src)
		if err := src.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// wantWallTime checks that the times of the tokens have no monotonic reading: it
// would decide how they compare.
func wantWallTime(t *testing.T, src *Source) {
	t.Helper()
	if _, err := src.Token(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(time.Now().String(), "m=") {
		t.Fatal("this clock has no monotonic reading")
	}
	issues := src.cur.Load().issues
	for i := range issues {
		tok := &issues[i]
		for _, at := range []time.Time{tok.access.Issued, tok.access.Expiry, tok.refreshAt} {
			if strings.Contains(at.String(), "m=") {
				t.Errorf("%s of target %q has a monotonic reading", at, tok.access.Target)
			}
		}
	}
}

func TestRule066_clock_steps_cost_one_refresh(t *testing.T) {
	const day, years = 24 * time.Hour, 10 * 365 * 24 * time.Hour
	for _, step := range []time.Duration{day, -day, years, -years, time.Hour, -time.Hour, maxStep + time.Minute} {
		t.Run(fmt.Sprint("judged after ", step), func(t *testing.T) {
			now := time.Now().Round(0)
			tok := newIssue(clocked(now, step), 0, DefaultRefreshBefore)
			want := stale // the clock was set back: usable for all that is known
			if step < 0 {
				want = expired
			}
			if got := tok.freshness(now); got != want {
				t.Errorf("freshness %d, want %d", got, want)
			}
		})
		t.Run(fmt.Sprint("refreshes after ", step), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testClockStep(t, step, 1) })
		})
	}
	t.Run("hosts that differ a little", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { testClockStep(t, maxStep-time.Minute, 0) })
	})
}

// testClockStep checks that a stored token issued when the clock was step ahead
// costs that many refreshes.
func testClockStep(t *testing.T, step time.Duration, refreshes int) {
	store, n := new(tokenstore.Memory), 0
	b, err := clocked(time.Now(), step).Encode()
	if err != nil {
		t.Fatal(err)
	}
	err = store.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { return b, nil })
	if err != nil {
		t.Fatal(err)
	}
	src, err := NewSource(SourceConfig{Store: store, Key: "k", Refresh: func(_ context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
		n++
		old.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret("new"), Expiry: time.Now().Add(time.Hour)})
		return old, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := src.Token(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	if n != refreshes {
		t.Errorf("%d refreshes, want %d", n, refreshes)
	}
}

func TestRefreshWindow(t *testing.T) {
	tests := []struct{ before, lifetime, window time.Duration }{
		{5 * time.Minute, 24 * time.Hour, 5 * time.Minute},
		{5 * time.Minute, 20 * time.Minute, 5 * time.Minute},
		{5 * time.Minute, 8 * time.Minute, 2 * time.Minute},
		{5 * time.Minute, 3 * time.Second, 750 * time.Millisecond},
		{5 * time.Minute, 0, 0},
		{5 * time.Minute, -time.Hour, 0},
		{time.Hour, 24 * time.Hour, time.Hour},
		{time.Nanosecond, time.Hour, time.Nanosecond},
	}
	for _, test := range tests {
		low, high := time.Duration(1<<62), time.Duration(-1)
		for range 1000 {
			got := jittered(refreshWindow(test.before, test.lifetime))
			low, high = min(low, got), max(high, got)
		}
		if high > test.window || low < test.window/2 {
			t.Errorf("window of %v is %s to %s, want the half to the whole of %s", test, low, high, test.window)
		}
		if test.window > time.Second && (high < test.window*9/10 || low > test.window*6/10) {
			t.Errorf("window of %v is %s to %s: not all of the first half is used", test, low, high)
		}
	}
}
