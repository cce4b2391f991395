package transport_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/transport"
)

// byToken is an API that answers each access token as the funcs say, and 401
// where there is none.
type byToken map[string]func()

func (b byToken) RoundTrip(req *http.Request) (*http.Response, error) {
	before, ok := b[req.Header.Get("Authorization")]
	if !ok {
		return answerTo(req, http.StatusUnauthorized, http.NoBody), nil
	}
	before()
	return answerTo(req, http.StatusOK, http.NoBody), nil
}

// reject has src renew the token at hand.
func reject(t *testing.T, src *transport.Source) {
	t.Helper()
	if _, err := src.Refresh(t.Context(), mustToken(t, src)); err != nil {
		t.Error(err)
	}
}

// What an API says of a token that it got before the breaker opened does not
// close it.
func TestBreaker_accepted_before_it_opened(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv, tp := &server{lifetime: 24 * time.Hour}, new(tape)
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Observer: tp.observer()})
		mustToken(t, src)
		slow := func() { time.Sleep(10 * time.Second) }
		tr := newTransport(t, transport.Config{Source: src, Base: byToken{"Bearer at2": slow, "Bearer at6": func() {}}})
		go func() { _, _ = tr.RoundTrip(request(t, "GET", "https://api.test/", nil)) }()
		synctest.Wait() // it is being tried again with at2
		reject(t, src)
		reject(t, src)
		if _, err := src.Refresh(t.Context(), mustToken(t, src)); err == nil || !src.Status().BreakerOpen {
			t.Fatalf("error %v, want the breaker open", err)
		}
		time.Sleep(11 * time.Second)
		if !src.Status().BreakerOpen || tp.count("breaker closed") != 0 {
			t.Error("an answer from before closed the breaker")
		}
		time.Sleep(time.Minute) // it is over
		reject(t, src)
		wantToken(t, src, "at5")
		wantAnswer(t, tr, request(t, "GET", "https://api.test/", nil), 401, "") // open again for a minute
		time.Sleep(2 * time.Minute)
		wantAnswer(t, tr, request(t, "GET", "https://api.test/", nil), 200, "")
		if n := tp.count("breaker closed"); n != 1 {
			t.Errorf("closed %d times, want once its time was over", n)
		}
	})
}

// A token that works does not make up for those that did not.
func TestBreaker_closed_can_not_be_closed(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv, tp := &server{lifetime: 24 * time.Hour}, new(tape)
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Observer: tp.observer()})
		mustToken(t, src)
		reject(t, src) // at2
		reject(t, src) // at3, one strike
		tr := newTransport(t, transport.Config{Source: src, Base: byToken{"Bearer at4": func() {}}})
		wantAnswer(t, tr, request(t, "GET", "https://api.test/", nil), 200, "") // two
		if n := tp.count("breaker"); n != 0 {
			t.Errorf("%d events of a breaker that never opened", n)
		}
		if _, err := src.Refresh(t.Context(), mustToken(t, src)); err == nil || !src.Status().BreakerOpen {
			t.Errorf("error %v, want the breaker open at the third strike", err)
		}
	})
}

// A token that is rejected time and again is one strike, also where its record
// had to be written back meanwhile.
func TestBreaker_counts_a_token_once(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: 24 * time.Hour}
		src := newSource(t, shelf.config(srv, nil))
		mustToken(t, src)
		reject(t, src)
		tok := mustToken(t, src)
		srv.fail = func(int) error { return errDown }
		for range 5 {
			shelf.set(nil)
			got, err := src.Refresh(t.Context(), tok)
			wantKind(t, got, err, transport.Transient)
			shelf.wantStored(t, "rt2")
			time.Sleep(10 * time.Second)
		}
		if src.Status().BreakerOpen {
			t.Error("one token opened the breaker")
		}
	})
}
