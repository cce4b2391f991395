package transport_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A caller whose context is over costs the server nothing.
func TestToken_for_a_cancelled_caller_asks_nobody(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	bubble(t, "no token", func(t *testing.T) {
		srv := &server{lifetime: time.Hour}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
		tok, err := src.Token(over, "")
		wantKind(t, tok, err, transport.Cancelled)
		synctest.Wait()
		srv.wantCalls(t, 0)
	})
	bubble(t, "stale token", func(t *testing.T) {
		_, srv, src := running(t, nil)
		time.Sleep(59 * time.Second)
		tok, err := src.Token(over, "")
		wantKind(t, tok, err, transport.Cancelled)
		synctest.Wait()
		srv.wantCalls(t, 2)
	})
}

// Who gives up while the first refresh is under way gets its own error, and not
// the stale token beside it.
func TestToken_cancelled_while_it_waits_for_a_stale_token(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		mustToken(t, newSource(t, shelf.config(srv, nil)))
		time.Sleep(59 * time.Minute)
		srv.delay = 3 * time.Second
		src := newSource(t, shelf.config(srv, nil))
		tok, err := src.Token(soon(t, time.Second), "")
		wantKind(t, tok, err, transport.Cancelled)
		time.Sleep(5 * time.Second)
		shelf.wantStored(t, "rt2") // the refresh went on
	})
}

// A Source that is closed says so, whatever went wrong before.
func TestToken_during_a_pause_of_a_closed_Source(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		_, srv, src := running(t, nil)
		srv.fail = func(int) error { return errDown }
		time.Sleep(2 * time.Minute)
		wantError(t, src, transport.Transient)
		mustClose(t, src)
		wantClosed(t, src)
	})
}

// An API that rejects each new token before those who waited for it could use it
// does not keep them for ever.
func TestToken_rejected_before_it_is_handed_out(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		var src *transport.Source
		cfg := shelf.config(srv, nil)
		cfg.Observer = &transport.Observer{SaveFailed: func(transport.SaveFailed) { // the new token is there, and its callers still wait
			tok, _ := src.Token(over, "")
			_, _ = src.Refresh(over, tok)
		}}
		src = newSource(t, cfg)
		shelf.breakAt("leave", func() error { return errDisk })
		wantError(t, src, transport.Transient)
		srv.wantCalls(t, 3)
		srv.wantNoReuse(t)
	})
}

// A token that has expired when it comes, by this host's clock, is better than
// none: the clock may be ahead.
func TestToken_that_comes_expired(t *testing.T) {
	for name, saving := range map[string]time.Duration{"saved": 0, "not saved yet": time.Minute} {
		bubble(t, name, func(t *testing.T) {
			shelf := newShelf()
			failFor(shelf, saving)
			cfg := shelf.config(nil, nil)
			cfg.Refresh = func(context.Context, tokenstore.Record, string) (tokenstore.Record, error) {
				var rec tokenstore.Record
				rec.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret("late"), Expiry: time.Now().Add(-time.Minute)})
				return rec, nil
			}
			wantToken(t, newSource(t, cfg), "late")
		})
	}
}

// The event of a refresh says how many callers waited when it ended.
func TestRefreshEnded_counts_those_who_wait(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{lifetime: time.Hour, delay: time.Second}
		var ends []transport.RefreshEnded
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Observer: &transport.Observer{
			RefreshEnded: func(e transport.RefreshEnded) { ends = append(ends, e) },
		}})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { mustToken(t, src) })
		}
		wg.Go(func() { _, _ = src.Token(soon(t, time.Second/2), "") }) // gone by then
		wg.Wait()
		time.Sleep(59 * time.Minute)
		wantToken(t, src, "at1") // refreshed behind the caller
		time.Sleep(time.Minute)
		wantToken(t, src, "at2")
		synctest.Wait()
		if len(ends) != 2 || ends[0].Waiters != 5 || ends[1].Waiters != 0 {
			t.Fatalf("events %+v, want two, with 5 waiters and with none", ends)
		}
		for _, e := range ends {
			if e.Duration != time.Second || e.Attempt != 1 || e.Err != nil || !e.Rotated || e.Outcome != transport.OutcomeExchanged {
				t.Errorf("event %+v, want one good refresh that took a second", e)
			}
		}
		if ends[0].Token == ends[1].Token || ends[1].Token != tokenstore.NewSecret("at2").Fingerprint() {
			t.Errorf("tokens %s and %s, want that of the new token", ends[0].Token, ends[1].Token)
		}
	})
}

// The events of a failed refresh say why, and which try it was.
func TestRefreshEnded_counts_failures(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Hour}
		srv.fail = func(int) error { return errDown }
		var began []transport.RefreshBegan
		var ended []transport.RefreshEnded
		cfg := shelf.config(srv, nil)
		cfg.Observer = &transport.Observer{
			RefreshBegan: func(e transport.RefreshBegan) { began = append(began, e) },
			RefreshEnded: func(e transport.RefreshEnded) { ended = append(ended, e) },
		}
		src := newSource(t, cfg)
		for range 3 {
			wantError(t, src, transport.Transient)
			time.Sleep(time.Minute)
		}
		srv.fail = nil
		mustToken(t, src)
		synctest.Wait()
		if len(began) != 4 || len(ended) != 4 {
			t.Fatalf("%d refreshes began and %d ended, want 4", len(began), len(ended))
		}
		for i, e := range ended {
			failed := i < 3
			if began[i].Attempt != i+1 || e.Attempt != i+1 || began[i].Reason != transport.ReasonNone || e.Reason != transport.ReasonNone {
				t.Errorf("%d. refresh: began %+v, ended %+v", i+1, began[i], e)
			}
			if errors.Is(e.Err, errDown) != failed || (e.Outcome == transport.OutcomeFailed) != failed || e.Rotated == failed || (e.Token == "") != failed {
				t.Errorf("%d. refresh ended %+v, failed %t", i+1, e, failed)
			}
		}
	})
}
