package transport_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// refreshOnly is a login that brings a refresh token and no access token, so that
// the next call has to refresh.
func refreshOnly(srv *server) tokenstore.Record {
	rec := srv.login()
	rec.Access = nil
	return rec
}

// A login is a new beginning: what was remembered of failures of the last session
// is no reason not to try, whether the login can be saved at once or not.
func TestSet_forgets_failures(t *testing.T) {
	for name, fate := range map[string]error{"saved": nil, "saved later": tokenstore.ErrConflict} {
		set := func(t *testing.T, shelf *shelf, src *transport.Source, rec tokenstore.Record) {
			t.Helper()
			if fate == nil {
				mustSet(t, src, rec)
				return
			}
			shelf.breakAt("save", func() error { return fate })
			wantKind(t, transport.Token{}, src.Set(t.Context(), rec), transport.StoreFailed)
			shelf.heal()
		}
		bubble(t, name+": the pause", func(t *testing.T) {
			shelf, srv, src := running(t, nil)
			time.Sleep(2 * time.Minute)
			srv.fail = func(int) error { return &transport.RefreshError{RetryAfter: time.Hour, Err: errDown} }
			wantError(t, src, transport.Transient)
			srv.fail = nil
			wantError(t, src, transport.Transient) // for an hour
			set(t, shelf, src, refreshOnly(srv))
			if st := src.Status(); st.Err != nil || st.Failures != 0 || st.RetryAfter != 0 {
				t.Errorf("Status %+v", st)
			}
			wantToken(t, src, "at5")
			srv.wantNoReuse(t)
		})
		bubble(t, name+": the refusal", func(t *testing.T) {
			shelf, srv, src := running(t, nil)
			time.Sleep(2 * time.Minute)
			srv.fail = func(int) error { return invalidGrant() }
			wantError(t, src, transport.LoginRequired)
			srv.fail = nil
			wantError(t, src, transport.LoginRequired) // rt2 is not sent again
			srv.wantCalls(t, 3)
			set(t, shelf, src, tokenstore.Record{RefreshToken: tokenstore.NewSecret("rt2")})
			wantToken(t, src, "at4")
		})
		bubble(t, name+": the breaker", func(t *testing.T) {
			srv, shelf := &server{lifetime: time.Hour}, newShelf()
			src := newSource(t, shelf.config(srv, nil))
			openBreaker(t, src)
			set(t, shelf, src, srv.login())
			if src.Status().BreakerOpen {
				t.Error("the breaker is still open")
			}
			for i := range 3 { // and it takes three strikes again
				if _, err := src.Refresh(t.Context(), mustToken(t, src)); err != nil {
					t.Fatalf("the %d. time: %v", i+1, err)
				}
			}
		})
	}
}

// openBreaker has tokens rejected until the breaker is open.
func openBreaker(t *testing.T, src *transport.Source) {
	t.Helper()
	for range 4 { // the first comes in place of no other, and is no strike
		_, _ = src.Refresh(t.Context(), mustToken(t, src))
	}
	if !src.Status().BreakerOpen {
		t.Fatal("the breaker is not open")
	}
}

// An error is the caller's own: it says from the first failure on when the next
// try is, and nobody else sees what a caller makes of it.
func TestRefreshError_is_the_callers_own(t *testing.T) {
	for name, fail := range map[string]func(int) error{
		"server down":   func(int) error { return errDown },
		"misconfigured": func(int) error { return &transport.RefreshError{Kind: transport.Misconfigured, Err: errDown} },
		"refused":       func(int) error { return invalidGrant() },
	} {
		bubble(t, name, func(t *testing.T) {
			shelf, srv := expiredSession(t)
			srv.fail, srv.delay = fail, time.Second
			src := newSource(t, shelf.config(srv, nil))
			kind := failTogether(t, src)
			for range 3 { // from the pause, or what is remembered of the refusal
				_, err := src.Token(t.Context(), "")
				re := asOwn(t, err)
				if re.Kind != kind || re.Err == nil {
					t.Errorf("after others changed theirs: %+v, want kind %s", re, kind)
				}
				*re = transport.RefreshError{Kind: transport.Cancelled}
			}
			asOwn(t, src.Status().Err).Kind = transport.Cancelled
			if re := asOwn(t, src.Status().Err); re.Kind != kind {
				t.Errorf("Status: %+v, want kind %s", re, kind)
			}
			_, err := src.Token(t.Context(), "")
			if re := asOwn(t, err); re.Kind != kind {
				t.Errorf("after Status was changed: %+v, want kind %s", re, kind)
			}
		})
	}
}

// failTogether has two callers wait for one refresh that fails, checks that they
// share nothing, and spoils what they got.
func failTogether(t *testing.T, src *transport.Source) transport.Kind {
	t.Helper()
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := src.Token(t.Context(), "")
			errs <- err
		}()
	}
	synctest.Wait()
	one, other := asOwn(t, <-errs), asOwn(t, <-errs)
	if one == other {
		t.Error("two callers got the same error value")
	}
	kind, after := other.Kind, other.RetryAfter
	*one = transport.RefreshError{Kind: transport.Cancelled}
	if other.Kind != kind || other.RetryAfter != after {
		t.Errorf("a caller's change is seen by another: %+v", other)
	}
	if kind != transport.LoginRequired && after <= 0 { // what is refused has no next try
		t.Errorf("the first failure does not tell when the next try is: %+v", other)
	}
	*other = *one
	return kind
}

func asOwn(t *testing.T, err error) *transport.RefreshError {
	t.Helper()
	var re *transport.RefreshError
	if !errors.As(err, &re) {
		t.Fatalf("%v (%T), want a RefreshError", err, err)
	}
	return re
}
