package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

// Time passes in a bubble only when everybody waits, so nothing here depends on
// how fast the machine is.
func TestHostileAnswers(t *testing.T) {
	const header, answer = maxAnswerHeader + 16<<10, maxAnswer + 16<<10 // net/http reads a little ahead
	answers := map[string]struct {
		action   testserver.Action
		requests int
		read     int64 // bytes at the most, of one answer
		took     time.Duration
	}{
		"endless":           {testserver.Endless(200), 1, answer, 0},
		"endless error":     {testserver.Endless(400), 1, answer, 0},
		"bomb":              {testserver.Gzip().Then(testserver.Endless(200)), 1, answer / 16, 0},
		"huge header":       {pour("HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 1<<10), 0), 2, header, time.Second},
		"many headers":      {pour("HTTP/1.1 200 OK\r\n", strings.Repeat("X: y\r\n", 1<<8), 0), 2, header, time.Second},
		"deep":              {respondJSON(`{"x":` + strings.Repeat("[", 1<<20-10)), 1, answer, 0},
		"many members":      {respondJSON(`{` + strings.Repeat(`"":0,`, 1<<17)), 1, answer, 0},
		"no header at all":  {testserver.Hang(), 1, 0, hostileTimeout},
		"a byte a second":   {testserver.Drip(time.Second), 1, header, hostileTimeout},
		"another protocol":  {pour("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "x", 10*time.Millisecond), 1, header, 0},
		"header by header":  {pour("HTTP/1.1 200 OK\r\n", "X: y\r\n", 10*time.Millisecond), 1, header, hostileTimeout},
		"interim responses": {pour("", "HTTP/1.1 102 Wait\r\n\r\n", 10*time.Millisecond), 1, header, hostileTimeout},
	}
	for name, c := range answers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testserver.New()
				defer time.Sleep(time.Second) // in which pour finds that the client is gone
				defer srv.Close()
				srv.Inject(testserver.OnToken, testserver.Always, c.action)
				e := newTokenEndpoint(Config{
					Endpoint: oauth2.Endpoint{TokenURL: srv.TokenURL()}, ClientID: "app", RefreshTimeout: hostileTimeout,
				})
				defer e.closeIdle()
				m := meter(e, srv, 2*c.read)
				start := time.Now()
				_, re := refreshWith(t.Context(), t, e)
				if re == nil || re.Kind != transport.Transient {
					t.Errorf("error %v, want one of kind %s", re, transport.Transient)
				}
				if took := time.Since(start); took > c.took {
					t.Errorf("it took %s, want no more than %s", took, c.took)
				}
				if n := srv.Log().TokenRequests(); n != c.requests {
					t.Errorf("%d requests, want %d", n, c.requests)
				}
				if n := m.most.Load(); n > c.read {
					t.Errorf("%d bytes of an answer read, want no more than %d", n, c.read)
				}
			}) // a goroutine or a connection that is left fails the test here
		})
	}
}

const hostileTimeout = 5 * time.Second

func respondJSON(text string) testserver.Action {
	return testserver.Respond(200, http.Header{"Content-Type": {"application/json"}}, text)
}

// A metered counts what is read on the connections of an endpoint, and fails one
// that reads without end, for the test would not end either.
type metered struct {
	most atomic.Int64 // on one connection
	open atomic.Int64 // connections
	max  int64        // bytes on one connection, 0 for no limit
}

// meter has the endpoint's own transport reach srv in memory.
func meter(e *tokenEndpoint, srv *testserver.Server, max int64) *metered {
	m, dial := &metered{max: max}, srv.Transport().DialTLSContext
	e.own.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		m.open.Add(1)
		return &meteredConn{Conn: conn, m: m}, nil
	}
	return m
}

type meteredConn struct {
	net.Conn
	m      *metered
	total  int64 // only the reader's
	closed atomic.Bool
}

var errEndless = errors.New("more was read than ever should be")

func (c *meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.total += int64(n)
	c.m.most.Store(max(c.m.most.Load(), c.total))
	if c.m.max > 0 && c.total > c.m.max {
		err = errEndless
	}
	return n, err
}

func (c *meteredConn) Close() error {
	if !c.closed.Swap(true) {
		c.m.open.Add(-1)
	}
	return c.Conn.Close()
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
