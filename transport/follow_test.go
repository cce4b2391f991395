package transport

import (
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// What the APIs said of a token is not forgotten when its record is published
// again, as after it was written back: each mark for itself.
func TestFollow_the_same_token(t *testing.T) {
	rec := clocked(time.Now(), 0)
	for bits := range 1 << 5 {
		last := newIssue(rec, 0, time.Minute)
		rejected, accepted, struck, remedy := bits&1 != 0, bits&2 != 0, bits&4 != 0, bits&8 != 0
		last.rejected.Store(rejected)
		last.accepted.Store(accepted)
		last.struck.Store(struck)
		last.remedy = remedy
		last.early.Store(bits&16 != 0)
		again := rec.Clone()
		got := newIssue(&again, 0, time.Minute)
		got.follow(last, true)
		if got.rejected.Load() != rejected || got.accepted.Load() != accepted || got.struck.Load() != struck || got.remedy != remedy {
			t.Errorf("rejected %t, accepted %t, struck %t, remedy %t, want %t, %t, %t, %t", got.rejected.Load(),
				got.accepted.Load(), got.struck.Load(), got.remedy, rejected, accepted, struck, remedy)
		}
		if got.early.Load() != last.early.Load() {
			t.Error("that it was rejected early is forgotten")
		}
		if got.refreshAt != last.refreshAt || got.access != last.access {
			t.Error("the same token has other times")
		}
	}
}

// Another token takes over nothing but whether it came for one that was rejected
// early, and by the refresh of this process.
func TestFollow_another_token(t *testing.T) {
	now := time.Now()
	for _, test := range []struct{ early, own, remedy bool }{
		{false, true, false}, {true, true, true}, {true, false, false},
	} {
		last := newIssue(clocked(now, 0), 0, time.Minute)
		last.rejected.Store(true)
		last.early.Store(test.early)
		last.accepted.Store(true)
		last.struck.Store(true)
		rec := clocked(now, 0)
		rec.Session, rec.Access[0].Generation = last.record.Session, 7
		rec.Access[0].Token = tokenstore.NewSecret("another")
		got := newIssue(rec, 0, time.Minute)
		got.follow(last, test.own)
		if got.rejected.Load() || got.accepted.Load() || got.struck.Load() || got.remedy != test.remedy {
			t.Errorf("%+v: rejected %t, accepted %t, struck %t, remedy %t",
				test, got.rejected.Load(), got.accepted.Load(), got.struck.Load(), got.remedy)
		}
	}
}
