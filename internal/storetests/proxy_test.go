package storetests_test

import (
	"net"
	"sync"
	"testing"
)

// A proxy stands before a database, and is the network that fails.
type proxy struct {
	target string
	ln     net.Listener

	mu    sync.Mutex
	down  bool // connections are broken and refused
	conns map[net.Conn]bool
	cut   cut
}

// A cut breaks the connection in the middle of an exchange with the database.
type cut struct {
	after  int  // this many answers; 0 for no cut
	answer bool // the database gets the request, and the client no answer; or else not even that
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: target, ln: ln, conns: make(map[net.Conn]bool)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { ln.Close(); p.set(true); wg.Wait() })
	return p
}

func (p *proxy) addr() *net.TCPAddr { return p.ln.Addr().(*net.TCPAddr) }

// set breaks the network, or mends it.
func (p *proxy) set(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down = down; down {
		for c := range p.conns {
			c.Close()
		}
	}
}

// arm makes c happen to what comes next.
func (p *proxy) arm(c cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = c
}

// passed counts one direction of an exchange, and reports whether it breaks here.
func (p *proxy) passed(fromClient bool) (broken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.cut.after == 0:
		return false
	case fromClient && (p.cut.answer || p.cut.after > 1):
		return false
	case !fromClient && p.cut.after > 1:
		p.cut.after--
		return false
	case !fromClient && !p.cut.answer:
		return false
	}
	p.cut = cut{}
	return true
}

func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return !p.down
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	c.Close()
}

func (p *proxy) serve(client net.Conn) {
	defer p.drop(client)
	if !p.keep(client) {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.drop(server)
	p.keep(server)
	var wg sync.WaitGroup
	wg.Go(func() { p.pump(server, client, true) })
	wg.Go(func() { p.pump(client, server, false) })
	wg.Wait()
}

func (p *proxy) pump(to, from net.Conn, fromClient bool) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && p.passed(fromClient) {
			from.Close()
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
