package testserver

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The hosts of a server in memory. Every other host is one more API.
const (
	authHost = "auth.test"
	apiHost  = "api.test"
)

// A Server is an authorization server and a protected API. Make it with [New]
// or [NewLoopback], and close it.
//
// It is an [http.Handler] too, so that a test can put it behind a listener of
// its own, with TLS or HTTP/2: there, /token is the token endpoint, /revoke the
// revocation endpoint and every other path the API.
type Server struct {
	log       *Log
	policy    atomic.Pointer[Policy] // immutable, replaced whole
	nonceTurn atomic.Int64           // counts calls of RotateNonces
	tokens    tokenTable
	faults    faultTable
	gates     gateTable

	upstream *Upstream // nil unless StandBefore

	http    *http.Server
	done    <-chan struct{} // closed by Close
	cancel  context.CancelFunc
	conns   sync.WaitGroup
	serving sync.WaitGroup

	mu         sync.Mutex      // guards what follows
	memory     *memoryListener // nil on loopback
	origins    map[string]origin
	transports []*http.Transport
	issuer     string
	api        string
	apis       int
}

// New starts a server in memory. Its authorization server is https://auth.test,
// its API https://api.test and every other host.
func New() *Server {
	s := newServer()
	s.memory = newMemoryListener()
	s.issuer, s.api = "https://"+authHost, "https://"+apiHost
	s.tokens.issuer = s.issuer
	s.serve(s.memory)
	return s
}

// NewLoopback starts a server that listens on 127.0.0.1, with plain http and a
// port for each of the authorization server and the API, so that they are two
// origins. Like [net/http/httptest.NewServer], it panics if it can't listen.
func NewLoopback() *Server {
	s := newServer()
	s.issuer = s.listen(roleAuth)
	s.tokens.issuer = s.issuer
	s.api = s.listen(roleAPI)
	return s
}

func newServer() *Server {
	s := &Server{
		log:     newLog(),
		origins: make(map[string]origin),
		apis:    1,
	}
	s.tokens.init()
	s.policy.Store(&Policy{})
	base, cancel := context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:     s,
		BaseContext: func(net.Listener) context.Context { return base },
		ConnContext: s.connContext,
		ConnState:   s.connState,
		ErrorLog:    log.New(panicsOnly{}, "testserver: ", 0),
	}
	s.done, s.cancel = base.Done(), cancel
	return s
}

// panicsOnly keeps the complaints of net/http about aborted connections out of
// the test's output, and the panics of hooks in it.
type panicsOnly struct{}

func (panicsOnly) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "panic serving") {
		return os.Stderr.Write(line)
	}
	return len(line), nil
}

func (s *Server) serve(ln net.Listener) {
	s.serving.Go(func() { s.http.Serve(ln) })
}

// listen opens a port for role and returns the URL of its origin.
func (s *Server) listen(role role) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("testserver: listen on loopback: %v", err))
	}
	addr := ln.Addr().String()
	s.mu.Lock()
	s.origins[addr] = origin{scheme: "http", host: addr, role: role}
	s.mu.Unlock()
	s.serve(ln)
	return "http://" + addr
}

// connState keeps count of the connections, for Close.
func (s *Server) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	}
}

// Issuer returns the URL of the authorization server, without a path.
func (s *Server) Issuer() string { return s.issuer }

// TokenURL returns the URL of the token endpoint.
func (s *Server) TokenURL() string { return s.issuer + tokenPath }

// RevocationURL returns the URL of the revocation endpoint (RFC 7009).
func (s *Server) RevocationURL() string { return s.issuer + revokePath }

// APIURL returns the URL of path at the API. Every path is one; path begins
// with a slash or is empty.
func (s *Server) APIURL(path string) string { return s.api + path }

// NewAPI begins one more API at an origin of its own and returns that origin,
// such as https://api2.test in memory or http://127.0.0.1:40123 on loopback.
// All APIs take the same tokens; the log tells them apart.
func (s *Server) NewAPI() string {
	s.mu.Lock()
	s.apis++
	n, inMemory := s.apis, s.memory != nil
	s.mu.Unlock()
	if inMemory {
		return fmt.Sprintf("https://api%d.test", n)
	}
	return s.listen(roleAPI)
}

// Client returns a new client with a [Server.Transport] of its own. It follows
// redirects, as every http.Client does.
func (s *Server) Client() *http.Client {
	return &http.Client{Transport: s.Transport()}
}

// Transport returns a new transport that reaches the server; in memory, it
// reaches nothing else. It keeps as many idle connections as it had in use.
// [Server.Close] closes them.
func (s *Server) Transport() *http.Transport {
	t := &http.Transport{
		MaxIdleConnsPerHost:   1 << 20,
		ExpectContinueTimeout: time.Second,
	}
	if s.memory != nil {
		t.DialContext = s.memory.dialPlain
		t.DialTLSContext = s.memory.dialTLS
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transports = append(s.transports, t)
	return t
}

// Log returns the log of what came.
func (s *Server) Log() *Log { return s.log }

// Close stops the server, breaks off what it is serving, and returns when its
// goroutines have ended. To close it again does nothing. A [Hook] that does not
// return when its request's context is over keeps it waiting; connections that
// hooks hijacked are theirs to close.
func (s *Server) Close() {
	s.mu.Lock()
	transports := s.transports
	s.mu.Unlock()
	s.cancel()
	s.http.Close()
	s.serving.Wait()
	s.http.Close() // again, for connections that were accepted meanwhile
	for _, t := range transports {
		t.CloseIdleConnections()
	}
	s.conns.Wait()
}

// now is the time by the server's own clock.
func (s *Server) now() time.Time {
	return time.Now().Round(0).Add(s.policy.Load().ClockSkew)
}
