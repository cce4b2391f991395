package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

func noResend(c *Config) { c.Quirks.NoLostAnswerRetry = true }

func TestLostAnswersAreAskedForOnce(t *testing.T) {
	for _, c := range []struct {
		name     string
		do       testserver.Action
		times    int
		change   func(*Config)
		requests int
		kind     transport.Kind // of the error, where ok is false
		ok       bool
	}{
		{"once, with grace", testserver.LoseAnswer(), 1, public, 2, 0, true},
		{"cut, with grace", testserver.Truncate(), 1, public, 2, 0, true},
		{"dropped before the server acts", testserver.Drop(), 1, public, 2, 0, true},
		{"twice", testserver.LoseAnswer(), 2, public, 2, transport.Transient, false},
		{"for ever", testserver.Drop(), testserver.Always, public, 2, transport.Transient, false},
		{"switched off", testserver.LoseAnswer(), 1, noResend, 1, transport.Transient, false},
		{"our own timeout", testserver.HangAfter(), 1, public, 1, transport.Transient, false},
		{"a slow answer", testserver.Drip(time.Minute), 1, public, 1, transport.Transient, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, c.change)
				f.UpdatePolicy(func(p *testserver.Policy) { p.Grace = time.Minute })
				f.Inject(testserver.OnToken, c.times, c.do)
				_, err := f.session.Token(t.Context())
				if (err == nil) != c.ok {
					t.Errorf("error %v", err)
				}
				var re *transport.RefreshError
				if !c.ok && (!errors.As(err, &re) || re.Kind != c.kind || !re.OutcomeUnknown) {
					t.Errorf("error %v, want one of kind %v whose outcome is unknown", err, c.kind)
				}
				if n := f.Log().TokenRequests(); n != c.requests {
					t.Errorf("%d token requests, want %d", n, c.requests)
				}
			})
		})
	}
	t.Run("a whole object before the connection breaks", func(t *testing.T) {
		f := newFixture(t)
		f.Inject(testserver.OnToken, 1, testserver.Raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"+
			`{"access_token":"at","refresh_token":"rt"}`))
		tok, err := f.session.Token(t.Context())
		if err != nil || tok.Reveal() != "at" || f.Log().TokenRequests() != 1 {
			t.Errorf("token %q, error %v after %d requests", tok.Reveal(), err, f.Log().TokenRequests())
		}
	})
	t.Run("a refresh token before the connection breaks", func(t *testing.T) {
		f := newFixture(t)
		f.Inject(testserver.OnToken, 1, testserver.Raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"+
			`{"refresh_token":"rt","access_token":"a`))
		f.fail(t)
		if got := f.record(t).RefreshToken.Reveal(); got != "rt" || f.Log().TokenRequests() != 1 {
			t.Errorf("the store holds %q after %d requests", got, f.Log().TokenRequests())
		}
	})
}

// A timeout of the program's own transport is one of ours: the answer may come
// yet.
func TestTimeoutsOfTransportsAreNotCrossed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testserver.New()
		defer srv.Close()
		srv.Inject(testserver.OnToken, testserver.Always, testserver.HangAfter())
		base := srv.Transport()
		base.ResponseHeaderTimeout = time.Second
		_, re := refreshWith(t.Context(), t, testEndpoint(base, public))
		if re == nil || !re.OutcomeUnknown || srv.Log().TokenRequests() != 1 {
			t.Errorf("error %v after %d requests", re, srv.Log().TokenRequests())
		}
	})
	requests := 0
	slow := roundTrip(func(req *http.Request) (*http.Response, error) {
		requests++
		io.Copy(io.Discard, req.Body)
		body := io.MultiReader(strings.NewReader(`{"access_tok`), iotest.ErrReader(os.ErrDeadlineExceeded))
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body)}, nil
	})
	_, re := refreshWith(t.Context(), t, testEndpoint(slow, public))
	if re == nil || !re.OutcomeUnknown || requests != 1 {
		t.Errorf("error %v after %d requests", re, requests)
	}
}

func TestAnswersAreNotAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.Inject(testserver.OnToken, testserver.Always, testserver.Status(429, "Retry-After", "30"))
		start := time.Now()
		re := f.fail(t)
		if re.Kind != transport.Transient || re.RetryAfter < 29*time.Second || re.OutcomeUnknown {
			t.Errorf("error %v of kind %v", re, re.Kind)
		}
		for time.Since(start) < 29*time.Second {
			f.fail(t)
			time.Sleep(100 * time.Millisecond)
		}
		if n := f.Log().TokenRequests(); n != 1 {
			t.Errorf("%d token requests in 29 s, want 1", n)
		}
		f.ClearFaults()
		time.Sleep(2 * time.Second)
		if _, err := f.session.Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRequestsThatWereNotSentAreTriedAgain(t *testing.T) {
	for _, fails := range []int32{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			srv := testserver.New()
			defer srv.Close()
			var dials atomic.Int32
			base := srv.Transport()
			dial := base.DialTLSContext
			base.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dials.Add(1) <= fails {
					return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
				}
				return dial(ctx, network, addr)
			}
			e := testEndpoint(base, public, noResend)
			old := refreshable(srv.BeginSession("alice").RefreshToken)
			start := time.Now()
			_, err := e.refresh(t.Context(), old, "")
			if fails < maxAttempts {
				if err != nil || dials.Load() != fails+1 || time.Since(start) > 2*time.Second {
					t.Errorf("error %v after %d dials and %v", err, dials.Load(), time.Since(start))
				}
				return
			}
			var re *transport.RefreshError
			if !errors.As(err, &re) || re.OutcomeUnknown || !errors.Is(err, syscall.ECONNREFUSED) || dials.Load() != maxAttempts {
				t.Errorf("error %v after %d dials", err, dials.Load())
			}
		})
	}
}

// A laptopContext has a deadline by the wall clock, which a sleep of the machine
// has passed, while the timers have not run.
type laptopContext struct {
	context.Context
	deadline *atomic.Pointer[time.Time]
}

func (c laptopContext) Deadline() (time.Time, bool) { return *c.deadline.Load(), true }

func TestNothingIsSentAfterTheDeadlineByEitherClock(t *testing.T) {
	past, future := time.Now().Add(-time.Second).Round(0), time.Now().Add(5*time.Second).Round(0)
	var deadline atomic.Pointer[time.Time]
	for _, c := range []struct {
		name string
		dial func() // what happens while the connection is made
	}{
		{"before the first attempt", nil},
		{"during the dial", func() { deadline.Store(&past) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := testserver.New()
			defer srv.Close()
			deadline.Store(&future)
			base := srv.Transport()
			dialed, dial := 0, base.DialTLSContext
			base.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dialed++
				c.dial()
				return dial(ctx, network, addr)
			}
			if c.dial == nil {
				deadline.Store(&past)
			}
			old := refreshable(srv.BeginSession("alice").RefreshToken)
			_, err := testEndpoint(base, public).refresh(laptopContext{t.Context(), &deadline}, old, "")
			var re *transport.RefreshError
			if !errors.As(err, &re) || re.Kind != transport.Transient || re.OutcomeUnknown {
				t.Errorf("error %v, want a transient one: nothing was sent", err)
			}
			if srv.Log().Refreshes() != 0 || dialed > 1 || c.dial == nil && dialed > 0 {
				t.Errorf("%d refreshes, %d dials", srv.Log().Refreshes(), dialed)
			}
		})
	}
}

func TestRefreshesAreNotSentTwiceByTransports(t *testing.T) {
	// Middleware that sends again what fails, as many HTTP clients have it.
	srv := testserver.New()
	defer srv.Close()
	base := srv.Transport()
	var errs []error
	middleware := roundTrip(func(req *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(req)
		for range 3 {
			if err == nil && resp.StatusCode < 500 {
				break
			}
			again := req.Clone(req.Context())
			body, berr := req.GetBody()
			if berr != nil {
				errs = append(errs, berr)
				return nil, berr
			}
			again.Body = body
			resp, err = base.RoundTrip(again)
		}
		return resp, err
	})
	srv.Inject(testserver.OnToken, testserver.Always, testserver.LoseAnswer())
	_, err := testEndpoint(middleware, public, noResend).refresh(t.Context(), refreshable(srv.BeginSession("alice").RefreshToken), "")
	if err == nil || srv.Log().TokenRequests() != 1 || len(errs) != 1 {
		t.Errorf("error %v, %d token requests, want 1; GetBody: %v", err, srv.Log().TokenRequests(), errs)
	}
}

func TestDeadIdleConnections(t *testing.T) {
	// The server closes each connection after its answer without saying so.
	srv := testserver.New()
	defer srv.Close()
	srv.Inject(testserver.OnToken, testserver.Always, func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		next(w, r)
		http.NewResponseController(w).Flush()
		conn, _, _ := http.NewResponseController(w).Hijack()
		conn.Close()
	})
	srv.UpdatePolicy(func(p *testserver.Policy) { p.Grace = time.Minute })
	e := testEndpoint(srv.Transport(), public)
	rec := refreshable(srv.BeginSession("alice").RefreshToken)
	for range 20 {
		var err error
		if rec, err = e.refresh(t.Context(), rec, ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLostAnswersOverHTTP2(t *testing.T) {
	var requests atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if requests.Add(1); r.ProtoMajor != 2 {
			t.Errorf("protocol %s", r.Proto)
		}
		panic(http.ErrAbortHandler) // RST_STREAM
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	for _, c := range []struct {
		change func(*Config)
		want   int32
	}{{public, 2}, {noResend, 1}} {
		requests.Store(0)
		e := testEndpoint(srv.Client().Transport, c.change, func(cfg *Config) { cfg.Endpoint.TokenURL = srv.URL })
		_, re := refreshWith(t.Context(), t, e)
		if re == nil || !re.OutcomeUnknown || requests.Load() != c.want {
			t.Errorf("error %v after %d requests, want %d", re, requests.Load(), c.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"0", "", 0},
		{"30", "", 30 * time.Second},
		{" 30 ", "", 30 * time.Second},
		{"-1", "", 0},
		{"1.5", "", 0},
		{"soon", "", 0},
		{"86400", "", time.Hour},
		{"99999999999999999999999", "", time.Hour},
		{date(time.Minute), "", time.Minute},
		{date(-time.Minute), "", 0},
		{date(48 * time.Hour), "", time.Hour},
		{date(25 * time.Hour), date(25*time.Hour - time.Minute), time.Minute}, // the server's clock is ahead
	} {
		h := http.Header{"Retry-After": {c.value}, "Date": {c.date}}
		if got := retryAfter(h, now); got != c.want {
			t.Errorf("Retry-After %q, Date %q: %v, want %v", c.value, c.date, got, c.want)
		}
	}
}
