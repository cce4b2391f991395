package client

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

const hostileTimeout = 5 * time.Second

// newHostile returns a session whose client reaches the token endpoint with its
// own transport.
func newHostile(t *testing.T, maxRead int64) (*fixture, *metered) {
	t.Helper()
	f := newFixture(t, func(c *Config) { c.TokenClient, c.RefreshTimeout = nil, hostileTimeout })
	return f, meter(f.client.endpoint, f.Server, maxRead)
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
	m := &metered{max: max}
	m.over(e, srv.Transport().DialTLSContext)
	return m
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// over has the endpoint's own transport dial so.
func (m *metered) over(e *tokenEndpoint, dial dialFunc) {
	e.own.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return m.conn(conn), nil
	}
}

func (m *metered) conn(conn net.Conn) net.Conn {
	m.open.Add(1)
	return &meteredConn{Conn: conn, m: m}
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

func respondJSON(text string) testserver.Action {
	return testserver.Respond(200, http.Header{"Content-Type": {"application/json"}}, text)
}

// respondCoded answers with bytes in a coding, or what is said to be one.
func respondCoded(coding string, body []byte) testserver.Action {
	header := http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {coding}}
	return testserver.Respond(200, header, string(body))
}

// raw answers with a head of HTTP/1.1, an empty line and the body, which need not
// fit together.
func raw(head, body string) testserver.Action {
	return testserver.Raw("HTTP/1.1 " + head + "\r\n\r\n" + body)
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

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}
