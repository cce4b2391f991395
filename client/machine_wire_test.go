package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

// A wire is the network between one process and the server. There are no
// connections: a process that is killed gets no answer any more, and what it sent
// goes on.
type wire struct{ p *process }

type sendKey struct{}

func (w wire) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body.Close()
	}
	if w.p.isCut() {
		return nil, errCut
	}
	if req.URL.Path == "/token" {
		return w.askToken(req, body)
	}
	if req.URL.Path == "/revoke" {
		return w.askRevocation(req, body)
	}
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	w.p.uses(token)
	resp, fate := w.send(req, body)
	if fate != "answer" {
		return nil, w.broken(req.Context(), fate)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		w.p.reject(token)
	}
	return resp, nil
}

// askRevocation sends a request for a revocation.
func (w wire) askRevocation(req *http.Request, body []byte) (*http.Response, error) {
	form, _ := url.ParseQuery(string(body))
	token := form.Get("token")
	w.p.model.revoking(w.p, token)
	resp, fate := w.send(req, body)
	if fate != "answer" {
		return nil, w.broken(req.Context(), fate)
	}
	if resp.StatusCode == http.StatusOK {
		w.p.model.told(token)
	}
	return resp, nil
}

// askToken sends a token request.
func (w wire) askToken(req *http.Request, body []byte) (*http.Response, error) {
	m := w.p.model
	form, _ := url.ParseQuery(string(body))
	s := m.sending(w.p, form.Get("refresh_token"))
	resp, fate := w.send(req.WithContext(context.WithValue(req.Context(), sendKey{}, s)), body)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finished(s, fate)
	if fate != "answer" {
		return nil, w.broken(req.Context(), fate)
	}
	s.heard = s.granted && resp.StatusCode == http.StatusOK
	s.unknown = !s.heard && resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusBadGateway
	s.refused = resp.StatusCode == http.StatusBadRequest
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	s.wait = time.Duration(seconds) * time.Second
	m.trace("  %s gets %d", w.p, resp.StatusCode)
	return resp, nil
}

func (w wire) broken(ctx context.Context, fate string) error {
	if fate == "late" {
		return ctx.Err()
	}
	return io.ErrUnexpectedEOF
}

// send sends the request and waits for the answer.
func (w wire) send(req *http.Request, body []byte) (resp *http.Response, fate string) {
	in := req.Clone(req.Context())
	in.Host, in.Body = req.URL.Host, io.NopCloser(bytes.NewReader(body))
	done := make(chan *http.Response, 1)
	go func() {
		rec := httptest.NewRecorder()
		defer func() {
			switch v := recover(); v {
			case nil:
				done <- rec.Result()
			case http.ErrAbortHandler:
				done <- nil
			default:
				panic(v)
			}
		}()
		w.p.server.ServeHTTP(rec, in)
	}()
	select {
	case resp = <-done:
	case <-req.Context().Done():
		return nil, "late"
	case <-w.p.cut:
		return nil, "crash"
	}
	if resp == nil {
		return nil, "lost"
	}
	resp.Request = req
	return resp, "answer"
}

// serve is what happens to a token request: what the driver put into the queue,
// and what the server does of it is noted.
func (m *machine) serve(w http.ResponseWriter, r *http.Request, act http.HandlerFunc) {
	s := r.Context().Value(sendKey{}).(*send)
	m.nextFault()(w, r, func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		act(rec, r)
		var answer struct {
			RefreshToken string `json:"refresh_token"`
		}
		json.Unmarshal(rec.Body.Bytes(), &answer)
		m.model.acted(s, answer.RefreshToken)
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
	})
}

// nextFault returns what is to happen to the next token request.
func (m *machine) nextFault() testserver.Action {
	m.model.mu.Lock()
	defer m.model.mu.Unlock()
	if len(m.faults) > 0 {
		f := m.faults[0]
		m.faults = m.faults[1:]
		m.model.count["fault: "+f.name]++
		m.model.trace("  fault: %s", f.name)
		return f.do
	}
	if time.Now().Before(m.outage.until) {
		m.model.count["fault: "+m.outage.name]++
		return m.outage.do
	}
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) { next(w, r) }
}

// A serverFault is what happens to a token request.
type serverFault struct {
	name  string
	do    testserver.Action
	until time.Time
}

// Where the kinds of fault begin in the list of newServerFault.
const (
	firstLossy   = 8 // after these the session may be lost
	firstMistake = 11
	serverFaults = 12
)

// newServerFault returns the n-th kind of fault; d is for those that take time.
func newServerFault(n int, d time.Duration) serverFault {
	seconds := strconv.Itoa(int(d/time.Second) + 1)
	return []serverFault{
		{name: "503", do: testserver.Status(503)},
		{name: "429, Retry-After", do: testserver.Status(429, "Retry-After", seconds)},
		{name: "HTML 200", do: testserver.HTML(200)},
		{name: "HTML 502", do: testserver.HTML(502)},
		{name: "dropped", do: testserver.Drop()},
		{name: "hangs", do: testserver.Hang()},
		{name: "slow", do: testserver.DelayBefore(min(d/4, 10*time.Second))},
		{name: "slow answer", do: testserver.DelayAfter(min(d/4, 10*time.Second))},
		{name: "answer lost", do: testserver.LoseAnswer()},
		{name: "acts and hangs", do: testserver.HangAfter()},
		{name: "acts late", do: testserver.DelayBefore(d)},
		{name: "invalid_grant by mistake", do: testserver.OAuthError(400, "invalid_grant", "")},
	}[n]
}
