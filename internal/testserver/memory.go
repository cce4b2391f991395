package testserver

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
)

// A memoryListener is a net.Listener whose connections are pipes in memory.
type memoryListener struct {
	conns  chan net.Conn
	done   chan struct{}
	closed sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

// A memoryConn is the server's end of a pipe, and knows what the client dialed.
type memoryConn struct {
	net.Conn
	origin origin
}

func (l *memoryListener) dialPlain(ctx context.Context, _, addr string) (net.Conn, error) {
	return l.dial(ctx, "http", strings.TrimSuffix(addr, ":80"))
}

// dialTLS is not encrypted: there is nobody to listen in.
func (l *memoryListener) dialTLS(ctx context.Context, _, addr string) (net.Conn, error) {
	return l.dial(ctx, "https", strings.TrimSuffix(addr, ":443"))
}

func (l *memoryListener) dial(ctx context.Context, scheme, host string) (net.Conn, error) {
	o := origin{scheme: scheme, host: strings.ToLower(host), role: roleAPI}
	if o.host == authHost {
		o.role = roleAuth
	}
	ours, theirs := net.Pipe()
	select {
	case l.conns <- &memoryConn{ours, o}:
		return theirs, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: l.Addr(), Err: http.ErrServerClosed}
	}
}

// Accept returns the next connection that was dialed.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and every dial.
func (l *memoryListener) Close() error {
	l.closed.Do(func() { close(l.done) })
	return nil
}

// Addr returns a name; there is no address.
func (l *memoryListener) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }
