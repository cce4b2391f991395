package testserver

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// Drop breaks the connection; the server has not acted. Mind that net/http
// itself sends some requests again if this happens to a connection that served
// others before: those with the method GET, HEAD, OPTIONS or TRACE or an
// Idempotency-Key header, unless they have a body without GetBody.
func Drop() Action {
	return func(http.ResponseWriter, *http.Request, http.HandlerFunc) {
		panic(http.ErrAbortHandler)
	}
}

// LoseAnswer lets the server act, and breaks the connection instead of
// answering.
func LoseAnswer() Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		record(w, r, next)
		panic(http.ErrAbortHandler)
	}
}

// Truncate lets the server act, and breaks the connection in the middle of the
// answer's body.
func Truncate() Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		a := record(w, r, next)
		a.header.Set("Content-Length", strconv.Itoa(a.body.Len()+1))
		a.body.Truncate(a.body.Len() / 2)
		a.send(w)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// DelayBefore waits for d before the server acts, which it then does, whether
// or not the client still waits.
func DelayBefore(d time.Duration) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		exchangeOf(r).sleep(d)
		next(w, r)
	}
}

// DelayAfter lets the server act at once, and waits for d before it answers.
func DelayAfter(d time.Duration) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		a := record(w, r, next)
		exchangeOf(r).sleep(d)
		a.send(w)
	}
}

// Hang reads the request and does nothing until the client goes or the server
// closes. The server does not act.
func Hang() Action {
	return func(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		io.Copy(io.Discard, r.Body) // else net/http does not notice that the client goes
		select {
		case <-r.Context().Done():
		case <-exchangeOf(r).server.done:
		}
		panic(http.ErrAbortHandler)
	}
}

// HangAfter lets the server act, and then does what [Hang] does.
func HangAfter() Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		record(w, r, next)
		Hang()(w, r, next)
	}
}

// ReadBody reads the request's body before the next thing happens, which may
// be an action that does not:
//
//	testserver.ReadBody().Then(testserver.Unauthorized())
func ReadBody() Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		io.Copy(io.Discard, r.Body)
		next(w, r)
	}
}

// Hook calls f, which may answer the request, and reports that it did; the
// server acts on it otherwise. An [Action] of one's own can do more.
func Hook(f func(http.ResponseWriter, *http.Request) bool) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		if !f(w, r) {
			next(w, r)
		}
	}
}

// A recording is an answer that was not sent yet.
type recording struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// record does h and keeps its answer. Headers that w has already are kept too.
func record(w http.ResponseWriter, r *http.Request, h http.HandlerFunc) *recording {
	a := &recording{header: w.Header().Clone()}
	h(a, r)
	return a
}

func (a *recording) Header() http.Header { return a.header }

func (a *recording) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

func (a *recording) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

func (a *recording) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	w.Write(a.body.Bytes())
}
