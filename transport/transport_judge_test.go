package transport_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/transport"
)

// A token that came for a rejected one, and is taken at the first try, closes the
// breaker, once its time is over. A server that is down, or overloaded, says
// nothing of a token.
func TestBreaker_closed_by_a_first_try(t *testing.T) {
	for status, closes := range map[int]bool{200: true, 302: true, 404: true, 499: true, 500: false, 503: false, 599: false, 429: false} {
		bubble(t, fmt.Sprint(status), func(t *testing.T) {
			srv, tp := &server{lifetime: 24 * time.Hour}, new(tape)
			src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Observer: tp.observer()})
			openBreaker(t, src)
			tok, err := src.Refresh(t.Context(), mustToken(t, src))
			if re := wantKind(t, tok, err, transport.Transient); re.RetryAfter == 0 {
				t.Errorf("error %v does not say until when", re)
			}
			time.Sleep(2 * time.Minute)
			reject(t, src)
			tr := newTransport(t, transport.Config{Source: src, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
				return answerTo(req, status, http.NoBody), nil
			})})
			wantAnswer(t, tr, request(t, "GET", "https://api.test/", nil), status, "")
			if got := tp.count("breaker closed") == 1; got != closes {
				t.Errorf("the breaker closed: %t, want %t", got, closes)
			}
		})
	}
}

// Who only observes is told of requests without a token, and of rejected ones; an
// API that echoes the token as the error does not get it into events.
func TestEvents_of_requests(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		srv := &server{lifetime: time.Hour}
		var bare []transport.Bare
		var rejected []transport.Rejected
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Observer: &transport.Observer{
			Bare:     func(e transport.Bare) { bare = append(bare, e) },
			Rejected: func(e transport.Rejected) { rejected = append(rejected, e) },
		}})
		tr := newTransport(t, transport.Config{Source: src, Target: "api", Origins: []string{"https://api.test"}}).Over(
			baseFunc(func(req *http.Request) (*http.Response, error) {
				token, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
				resp := answerTo(req, http.StatusUnauthorized, http.NoBody)
				resp.Header.Set("WWW-Authenticate", `Bearer error="no_`+token+`_good"`)
				return resp, nil
			}))
		wantAnswer(t, tr, request(t, "GET", "https://other.test:8443/path", nil), 401, "")
		subject := transport.Subject{Key: "session", Target: "api"}
		if want := (transport.Bare{Subject: subject, Origin: "https://other.test:8443"}); len(bare) != 1 || bare[0] != want {
			t.Errorf("events %+v, want %+v", bare, want)
		}
		wantAnswer(t, tr, request(t, "GET", "https://api.test/path", nil), 401, "")
		if len(rejected) != 2 {
			t.Fatalf("%d events, want 2", len(rejected))
		}
		for _, e := range rejected {
			if e.Subject != subject || e.Host != "api.test" || e.Challenge != "no_[redacted]_good" || !e.Refresh || len(e.Token) != 8 {
				t.Errorf("event %+v", e)
			}
		}
	})
}

// A Base that returns a response with an error, against its contract, leaks no
// body.
func TestBase_response_and_error(t *testing.T) {
	for name, answer := range map[string]func(l *ledger) *http.Response{
		"with a body": func(l *ledger) *http.Response {
			return &http.Response{Body: l.body("the response's", strings.NewReader("x"))}
		},
		"without one": func(*ledger) *http.Response { return new(http.Response) },
	} {
		t.Run(name, func(t *testing.T) {
			l, broken := new(ledger), errors.New("broken")
			tr := new(mint).over(t, baseFunc(func(*http.Request) (*http.Response, error) { return answer(l), broken }))
			resp, err := tr.RoundTrip(request(t, "GET", "https://api.test/", nil))
			if resp != nil || err != broken {
				t.Errorf("%v, %v; want the error alone", resp, err)
			}
			l.wantClosed(t)
		})
	}
}

// http.NoBody is no body, also where nobody says how to get it again.
func TestNoBody_is_sent_again(t *testing.T) {
	a := newTokenAPI()
	tr := a.over(t, a)
	wantAnswer(t, tr, request(t, "GET", "https://api.test/", nil), 200, "GET "+digest(strings.NewReader("")))
	a.revoke()
	req := request(t, "POST", "https://api.test/", nil)
	req.Body, req.GetBody = http.NoBody, nil
	wantAnswer(t, tr, req, 200, "POST "+digest(strings.NewReader("")))
}

func TestNew_without_a_Source(t *testing.T) {
	_, err := transport.New(transport.Config{Origins: []string{"no origin"}})
	if err == nil || !strings.Contains(err.Error(), "NewSource") || !strings.Contains(err.Error(), "Origins[0]") {
		t.Errorf("New = %v, want an error that says both what to make, and which origin is none", err)
	}
	src := newSource(t, transport.SourceConfig{Refresh: new(server).refresh})
	tr := newTransport(t, transport.Config{Source: src})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, tr); got != `transport.Transport(transport.Source("session"))` {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	resp, err := tr.Over(baseFunc(func(req *http.Request) (*http.Response, error) {
		return answerTo(req, 200, io.NopCloser(strings.NewReader(req.Header.Get("Authorization")))), nil
	})).RoundTrip(request(t, "GET", "https://api.test/", nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, resp); got != "Bearer at1" {
		t.Errorf("sent %q by another Base", got)
	}
}
