package lease

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// An abandoned is a Table with one key, whose holder has died.
type abandoned struct{ ends time.Time }

func (a *abandoned) Take(_ context.Context, _, owner, over string, _ time.Duration, _ bool) (Row, error) {
	if over == "dead" && a.runOut() {
		return Row{Holder: owner}, nil
	}
	return Row{Holder: "dead", RunOut: a.runOut()}, nil
}

func (a *abandoned) runOut() bool { return time.Now().After(a.ends) }

func (*abandoned) Load(context.Context, string) ([]byte, error) { return nil, tokenstore.ErrNotFound }
func (*abandoned) Commit(context.Context, string, string, int64, []byte) (bool, error) {
	return true, nil
}
func (*abandoned) Remove(context.Context, string, string) (bool, error) { return true, nil }
func (*abandoned) Free(context.Context, string, string) error           { return nil }

// However short the settle time is, who waits looks often enough to take over soon
// after it, and never before.
func TestTakeover_soon_after_the_settle_time(t *testing.T) {
	for _, settle := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, 5 * time.Second} {
		t.Run(settle.String(), func(t *testing.T) {
			for range 20 { // the pauses are jittered
				synctest.Test(t, func(t *testing.T) {
					a := &abandoned{time.Now().Add(time.Second)}
					s := &Store{Table: a, Length: time.Second, Settle: settle}
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					err := s.Update(ctx, "key", func(context.Context, []byte) ([]byte, error) { return nil, nil })
					if after := time.Since(a.ends); err != nil || after < settle || after > settle+settle/2+time.Second/2 {
						t.Errorf("taken over %s after the end of the lease: %v", after, err)
						time.Sleep(time.Minute) // what goes on behind it ends
					}
				})
			}
		})
	}
}
