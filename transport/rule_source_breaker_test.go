package transport_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// An api is a Base that answers every request with 401 while broken, and else
// takes every token.
type api struct{ works bool }

func (a *api) RoundTrip(req *http.Request) (*http.Response, error) {
	status := http.StatusUnauthorized
	if a.works {
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Request: req, Body: io.NopCloser(strings.NewReader("body"))}, nil
}

// call sends one request and returns its status and why no token was to be had.
func call(t *testing.T, tr *transport.Transport) (int, *transport.RefreshError) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://api.example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != "body" || err != nil {
		t.Errorf("body %q, %v", b, err)
	}
	var re *transport.RefreshError
	errors.As(transport.RefreshErrorOf(resp), &re)
	return resp.StatusCode, re
}

func TestRule023_breaker_stops_refreshing(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv, tp := &server{lifetime: time.Hour}, new(tape)
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Observer: tp.observer()})
		tr, err := transport.New(transport.Config{Source: src, Base: new(api)})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // the third fresh token that is rejected opens it
			if status, why := call(t, tr); status != 401 || why != nil {
				t.Errorf("status %d, %v", status, why)
			}
		}
		srv.wantCalls(t, 4)
		if status, why := call(t, tr); status != 401 || why == nil || why.RetryAfter <= 0 || why.Kind != transport.Transient {
			t.Errorf("with the breaker open: status %d, %v", status, why)
		}
		const requests, cap = 10_000, 1 + 3 + 4 // open for 30 s, 1, 2, 4 and 8 min, more or less a quarter
		for range requests {
			time.Sleep(10 * time.Minute / requests)
			if status, _ := call(t, tr); status != 401 {
				t.Errorf("status %d", status)
			}
		}
		srv.wantCalls(t, cap)
		if !src.Status().BreakerOpen {
			t.Error("the breaker is not open")
		}
		testBreakerRecovers(t, srv, src)
		if n := tp.count("breaker closed"); n != 1 {
			t.Errorf("the breaker closed %d times, want once", n)
		}
		mustClose(t, src)
	})
}

// testBreakerRecovers checks that one fresh token is enough once the API takes it.
func testBreakerRecovers(t *testing.T, srv *server, src *transport.Source) {
	time.Sleep(15 * time.Minute) // longer than it is ever open
	tr, err := transport.New(transport.Config{Source: src, Base: new(flip)})
	if err != nil {
		t.Fatal(err)
	}
	before := srv.calls()
	if status, why := call(t, tr); status != 200 || why != nil {
		t.Errorf("status %d, %v, want 200", status, why)
	}
	srv.wantCalls(t, before+1)
	for range 2 { // all is forgotten: it takes three strikes again
		if _, err := src.Refresh(t.Context(), mustToken(t, src)); err != nil {
			t.Error(err)
		}
	}
}

// A flip rejects the first request and takes all others.
type flip struct{ seen int }

func (f *flip) RoundTrip(req *http.Request) (*http.Response, error) {
	f.seen++
	return (&api{works: f.seen > 1}).RoundTrip(req)
}

func TestBreaker_lengths(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{lifetime: 24 * time.Hour}
		var open []time.Duration
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Observer: &transport.Observer{
			Breaker: func(e transport.Breaker) { open = append(open, e.For) },
		}})
		for len(open) < 8 {
			tok := mustToken(t, src)
			_, err := src.Refresh(t.Context(), tok)
			var re *transport.RefreshError
			if errors.As(err, &re) {
				time.Sleep(re.RetryAfter)
			}
		}
		for i, got := range open {
			want := min(30*time.Second<<i, 10*time.Minute)
			if got < want*3/4 || got > want*5/4 {
				t.Errorf("open for %s the %d. time, want %s more or less a quarter", got, i+1, want)
			}
		}
	})
}

func TestBreaker_leaves_expiry_alone(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{lifetime: time.Minute}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
		for !src.Status().BreakerOpen {
			_, _ = src.Refresh(t.Context(), mustToken(t, src))
		}
		before := srv.calls()
		time.Sleep(time.Minute)
		src2 := src.Status()
		mustToken(t, src)
		if got := srv.calls(); got != before+1 {
			t.Errorf("%d refreshes of an expired token, want 1 (%+v)", got-before, src2)
		}
	})
}

func TestBreaker_counts_strikes_of_a_minute(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{lifetime: 24 * time.Hour}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
		for range 20 {
			if _, err := src.Refresh(t.Context(), mustToken(t, src)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(61 * time.Second)
		}
		srv.wantCalls(t, 21)
	})
}

func TestRefresh_rejected_once_for_all(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{lifetime: time.Hour, delay: time.Second}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
		old := mustToken(t, src)
		errs := make(chan error)
		for range 1000 {
			go func() {
				tok, err := src.Refresh(t.Context(), old)
				if tok.Reveal() != "at2" {
					err = errors.Join(err, errors.New("got "+tok.Reveal()))
				}
				errs <- err
			}()
		}
		for range 1000 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if tok, err := src.Refresh(t.Context(), old); tok.Reveal() != "at2" || err != nil { // a 401 that comes late
			t.Errorf("Refresh = %v, %v", tok.Reveal(), err)
		}
		srv.wantCalls(t, 2)
		var rec tokenstore.Record
		srv.issue(&rec, 9, "", time.Now())
		mustSet(t, src, rec)
		if tok, err := src.Refresh(t.Context(), old); tok.Reveal() != "at9" || err != nil {
			t.Errorf("Refresh = %v, %v", tok.Reveal(), err)
		}
	})
}
