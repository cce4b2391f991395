package transport_test

import (
	"context"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// The end of a session that a server does not put off is no reason to refresh at every
// call: the refreshes ahead of it come to an end.
func TestRefreshPoint_of_a_session_that_ends(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{lifetime: 100 * time.Hour}
		end := time.Now().Add(48 * time.Hour)
		src := newSource(t, transport.SourceConfig{Refresh: func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
			rec, err := srv.refresh(ctx, old, target)
			rec.RefreshExpiry = end
			return rec, err
		}})
		for step := time.Minute; time.Now().Before(end.Add(time.Hour)); time.Sleep(step) {
			if time.Until(end) < 2*time.Minute {
				step = 50 * time.Millisecond
			}
			mustToken(t, src)
		}
		if n := srv.calls(); n < 5 || n > 20 {
			t.Errorf("%d refreshes", n)
		}
	})
}

func TestRenew(t *testing.T) {
	bubble(t, "waits for the refresh of a token that still works", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		srv.delay = 8 * time.Second // longer than the first refresh of a process is waited for
		time.Sleep(55 * time.Second)
		if err := src.Renew(t.Context()); err != nil {
			t.Error(err)
		}
		shelf.wantStored(t, "rt3")
		wantToken(t, src, "at3")
		srv.wantCalls(t, 3)
	})
	bubble(t, "leaves a token alone whose time has not come", func(t *testing.T) {
		_, srv, src := running(t, nil)
		for range 10 {
			if err := src.Renew(t.Context()); err != nil {
				t.Error(err)
			}
		}
		srv.wantCalls(t, 2)
	})
	bubble(t, "once a day where no end is known", func(t *testing.T) {
		shelf, srv := newShelf(), new(server)
		mustSet(t, newSource(t, shelf.config(srv, nil)), srv.login())
		for range 100 { // each time another process
			time.Sleep(time.Hour)
			src := newSource(t, shelf.config(srv, nil))
			if err := src.Renew(t.Context()); err != nil {
				t.Error(err)
			}
			mustClose(t, src)
		}
		if n := srv.calls() - 1; n != 5 { // after 18 hours, which is within a quarter of a day of it
			t.Errorf("%d refreshes in 100 hours", n)
		}
		srv.wantNoReuse(t)
	})
	bubble(t, "tells how long the pause is", func(t *testing.T) {
		_, srv, src := running(t, nil)
		srv.fail = func(int) error { return &transport.RefreshError{RetryAfter: time.Minute, Err: errDisk} }
		time.Sleep(2 * time.Minute)
		for range 2 {
			if re := wantKind(t, transport.Token{}, src.Renew(t.Context()), transport.Transient); re.RetryAfter != time.Minute {
				t.Errorf("RetryAfter %v", re.RetryAfter)
			}
		}
		srv.wantCalls(t, 3)
	})
	bubble(t, "ends with its caller, and the refresh goes on", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		srv.delay = 5 * time.Second
		time.Sleep(2 * time.Minute)
		wantKind(t, transport.Token{}, src.Renew(soon(t, time.Second)), transport.Cancelled)
		mustClose(t, src)
		shelf.wantStored(t, "rt3")
		if err := src.Renew(t.Context()); err != transport.ErrClosed {
			t.Error(err)
		}
	})
}
