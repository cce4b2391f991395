package client

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

func TestHostileAnswers(t *testing.T) {
	answers := map[string]testserver.Action{
		"endless":           testserver.Endless(200),
		"endless error":     testserver.Endless(400),
		"bomb":              testserver.Gzip().Then(testserver.Endless(200)),
		"huge header":       pour("HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 1<<10), 0),
		"many headers":      pour("HTTP/1.1 200 OK\r\n", strings.Repeat("X: y\r\n", 1<<8), 0),
		"deep":              testserver.Respond(200, http.Header{"Content-Type": {"application/json"}}, `{"x":`+strings.Repeat("[", 1<<20-10)),
		"many members":      testserver.Respond(200, http.Header{"Content-Type": {"application/json"}}, `{`+strings.Repeat(`"":0,`, 1<<17)),
		"no header at all":  testserver.Hang(),
		"a byte a second":   testserver.Drip(time.Second),
		"another protocol":  pour("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "x", 10*time.Millisecond),
		"header by header":  pour("HTTP/1.1 200 OK\r\n", "X: y\r\n", 10*time.Millisecond),
		"interim responses": pour("", "HTTP/1.1 102 Wait\r\n\r\n", 10*time.Millisecond),
	}
	for name, action := range answers {
		t.Run(name, func(t *testing.T) {
			srv := testserver.NewLoopback()
			defer srv.Close()
			srv.Inject(testserver.OnToken, testserver.Always, action)
			e := newTokenEndpoint(Config{
				Endpoint: oauth2.Endpoint{TokenURL: srv.TokenURL()}, ClientID: "app", RefreshTimeout: 500 * time.Millisecond,
			})
			var peak uint64
			stop := watchHeap(&peak)
			start := time.Now()
			_, re := refreshWith(t.Context(), t, e)
			took := time.Since(start)
			stop()
			if re == nil || re.Kind != transport.Transient || took > 3*time.Second {
				t.Errorf("error %v after %v", re, took)
			}
			if peak > 8<<20 { // the server is in the same heap
				t.Errorf("the heap grew by %d MiB", peak>>20)
			}
		})
	}
}

// pour answers with first and then with text, again and again, until the client
// goes.
func pour(first, text string, pause time.Duration) testserver.Action {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		for _, err = io.WriteString(conn, first); err == nil; _, err = io.WriteString(conn, text) {
			time.Sleep(pause)
		}
	}
}

// watchHeap notes by how much the heap grows until stop is called.
func watchHeap(peak *uint64) (stop func()) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	base := m.HeapAlloc
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			runtime.ReadMemStats(&m)
			if m.HeapAlloc > base {
				*peak = max(*peak, m.HeapAlloc-base)
			}
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() { close(done); <-ended }
}
