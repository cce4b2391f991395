package testserver

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"time"
)

// Endless answers with the given status and a JSON body that does not end before
// the client goes. The server does not act. After [Gzip] it is a bomb.
func Endless(status int) Action {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Type", jsonType)
		w.WriteHeader(status)
		io.WriteString(w, `{"access_token":"`)
		chunk := bytes.Repeat([]byte("a"), 32<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		panic(http.ErrAbortHandler)
	}
}

// Drip sends the answer's header at once and its body a byte every interval.
func Drip(interval time.Duration) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		next(&dripWriter{w, r, interval}, r)
	}
}

type dripWriter struct {
	http.ResponseWriter
	request  *http.Request
	interval time.Duration
}

func (w *dripWriter) WriteHeader(status int) {
	w.ResponseWriter.WriteHeader(status)
	w.flush()
}

func (w *dripWriter) Write(p []byte) (int, error) {
	for i := range p {
		w.pause()
		if _, err := w.ResponseWriter.Write(p[i : i+1]); err != nil {
			return i, err
		}
		w.flush()
	}
	return len(p), nil
}

func (w *dripWriter) flush() { http.NewResponseController(w.ResponseWriter).Flush() }

// pause ends early, and the answer with it, if the client goes.
func (w *dripWriter) pause() {
	t := time.NewTimer(w.interval)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.request.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// Gzip compresses the answer, whether or not the client asked for it.
func Gzip() Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		w.Header().Set("Content-Encoding", "gzip")
		zw, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		next(&gzipWriter{w, zw}, r)
		zw.Close()
	}
}

type gzipWriter struct {
	http.ResponseWriter
	zip *gzip.Writer
}

func (w *gzipWriter) Write(p []byte) (int, error) { return w.zip.Write(p) }
