package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/transport"
)

// A step is where a request hangs. All else takes no time.
type step string

const (
	inToken     step = "while the first token is made"
	inFirstTry  step = "in the first try"
	inRefresh   step = "in the refresh"
	inDrain     step = "while the 401 is read"
	inGetBody   step = "in GetBody"
	inSecondTry step = "in the second try"
)

var steps = []struct {
	at    step
	tries int           // that have begun
	late  time.Duration // what can't be interrupted
}{
	{inToken, 0, 0}, {inFirstTry, 1, 0}, {inRefresh, 1, 0}, {inDrain, 1, 0}, {inGetBody, 1, time.Hour}, {inSecondTry, 2, 0},
}

// A slow is a request that is slow at one step.
type slow struct {
	*ledger
	at        step
	tries     int
	deadlines []time.Time
}

func (s *slow) before(n int64) error {
	if n == 1 && s.at == inToken || n == 2 && s.at == inRefresh {
		time.Sleep(10 * time.Second)
	}
	return nil
}

func (s *slow) RoundTrip(req *http.Request) (*http.Response, error) {
	defer req.Body.Close()
	s.tries++
	deadline, _ := req.Context().Deadline()
	s.deadlines = append(s.deadlines, deadline)
	if s.tries == 1 && s.at == inFirstTry || s.tries == 2 && s.at == inSecondTry {
		<-req.Context().Done()
		return nil, context.Cause(req.Context())
	}
	answer := s.body("of the 401", http.NoBody)
	if s.at == inDrain {
		answer.Reader = readFunc(func([]byte) (int, error) { <-answer.gone; return 0, io.EOF })
	}
	return answerTo(req, 401, answer), nil
}

func (s *slow) request(t *testing.T, ctx context.Context) *http.Request {
	req := s.ledger.request(t, "POST", "https://api.test/", "content").WithContext(ctx)
	getBody := req.GetBody
	req.GetBody = func() (io.ReadCloser, error) {
		if s.at == inGetBody {
			time.Sleep(time.Hour)
		}
		return getBody()
	}
	return req
}

const cancelAfter = 30 * time.Millisecond // less than a 401 is drained for

func TestRule034_context_ends_the_request(t *testing.T) {
	for _, where := range steps {
		t.Run(string(where.at), func(t *testing.T) {
			for _, how := range []struct {
				name string
				do   func(t *testing.T, s *slow, tr *transport.Transport) (*http.Response, error)
				want error
			}{
				{"cancelled", doCancelled, context.Canceled},
				{"deadline", doDeadline, context.DeadlineExceeded},
				{"Client.Timeout", doTimeout, context.DeadlineExceeded},
			} {
				t.Run(how.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := &slow{ledger: new(ledger), at: where.at}
						m := &mint{before: s.before}
						tr, start := m.over(t, s), time.Now()
						resp, err := how.do(t, s, tr)
						if took, want := time.Since(start), max(cancelAfter, where.late); took != want {
							t.Errorf("returned after %s, want %s", took, want)
						}
						if resp != nil || !errors.Is(err, how.want) {
							t.Errorf("%v, %v; want only %v", resp, err, how.want)
						}
						if s.tries != where.tries {
							t.Errorf("%d tries, want %d", s.tries, where.tries)
						}
						s.wantClosed(t)
						time.Sleep(time.Minute) // the refresh goes on
					})
				})
			}
		})
	}
	t.Run("both tries have the same deadline", func(t *testing.T) {
		s := &slow{ledger: new(ledger)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		send(t, new(mint).over(t, s), s.request(t, ctx))
		if want, _ := ctx.Deadline(); len(s.deadlines) != 2 || s.deadlines[0] != want || s.deadlines[1] != want {
			t.Errorf("deadlines %v, want %v twice", s.deadlines, want)
		}
	})
}

func doCancelled(t *testing.T, s *slow, tr *transport.Transport) (*http.Response, error) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(cancelAfter, cancel)
	return tr.RoundTrip(s.request(t, ctx))
}

func doDeadline(t *testing.T, s *slow, tr *transport.Transport) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(t.Context(), cancelAfter)
	defer cancel()
	return tr.RoundTrip(s.request(t, ctx))
}

func doTimeout(t *testing.T, s *slow, tr *transport.Transport) (*http.Response, error) {
	resp, err := (&http.Client{Transport: tr, Timeout: cancelAfter}).Do(s.request(t, t.Context()))
	if ue := (*url.Error)(nil); !errors.As(err, &ue) || !ue.Timeout() {
		t.Errorf("%v is no timeout", err)
	}
	return resp, err
}
