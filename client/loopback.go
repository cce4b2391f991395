package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// What a loopback listener waits for.
const (
	callbackTimeout = 5 * time.Second // a request to be read
	pageGrace       = 3 * time.Second // the browser to fetch the last page
)

// defaultRedirect is the redirect URI of a login on this machine.
const defaultRedirect = "http://127.0.0.1/callback"

// A loopbackServer waits on this machine for the answer to a login (RFC 8252 §7.3): from the
// time that its redirect URI is known to that when the browser has its last page.
//
// Whatever runs on this machine, and any page in its browser, can send requests to it.
// Only the answer to the login ends the wait.
type loopbackServer struct {
	redirect  string // with the port
	host      string // as the Host header has it
	path      string
	listeners []net.Listener
	server    *http.Server
	login     *pending

	answers chan url.Values // the answer to the login
	ended   chan struct{}   // closed when page is known
	page    ending          // how the login ended
	shown   chan struct{}   // closed when the browser has the page
	once    sync.Once       // closes shown
}

// loopbackURL returns the redirect URI of a login on this machine.
func (c *Config) loopbackURL() (url.URL, error) {
	u, err := url.Parse(cmp.Or(c.RedirectURL, defaultRedirect))
	if err != nil || u.Scheme != "http" || !onThisMachine(u.Hostname()) {
		return url.URL{}, errors.New("client: Login: Config.RedirectURL is not on this machine: for a login here write http://127.0.0.1 and a path, or leave it empty; a web back end calls BeginLogin")
	}
	if _, taken := pageAt(u.Path); taken {
		return url.URL{}, fmt.Errorf("client: Login: Config.RedirectURL has the path %s, at which a login ends: register another, such as /callback", u.Path)
	}
	return *u, nil
}

// listenLoopback listens at the host of u, a loopback address or localhost, and at its
// port or a free one.
func listenLoopback(u url.URL) (*loopbackServer, error) {
	port, _ := strconv.Atoi(u.Port())
	listeners, err := listenAt(u.Hostname(), port)
	if err != nil && u.String() == defaultRedirect {
		u.Host = "[::1]"
		listeners, err = listenAt("::1", 0) // RFC 8252 §7.3: where there is no IPv4
	}
	if err != nil {
		return nil, fmt.Errorf("client: Login: no listener for the answer at %s: %w; another login may be under way", u.Host, err)
	}
	port = listeners[0].Addr().(*net.TCPAddr).Port
	u.Host = net.JoinHostPort(u.Hostname(), strconv.Itoa(port))
	if u.Path == "" {
		u.Path = "/"
	}
	return &loopbackServer{
		redirect: u.String(), host: u.Host, path: u.Path, listeners: listeners,
		answers: make(chan url.Values), ended: make(chan struct{}), shown: make(chan struct{}),
	}, nil
}

// onThisMachine reports whether a browser that is sent to host comes to this machine.
func onThisMachine(host string) bool { return host == "localhost" || loopback(host) }

// portTries is how often a free port is looked for that both families have.
const portTries = 20

// listenAt listens at host. The name localhost may lead the browser to either address,
// so it is both: the other could be somebody else's (RFC 8252 §8.3).
func listenAt(host string, port int) ([]net.Listener, error) {
	if host != "localhost" {
		ln, err := listen(host, port)
		return []net.Listener{ln}, err
	}
	for range portTries {
		listeners, err := listenBoth(port)
		if err == nil || port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			return listeners, err
		}
	}
	return nil, errors.New("no port is free at both 127.0.0.1 and [::1]")
}

func listenBoth(port int) (listeners []net.Listener, err error) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		ln, err := listen(host, port)
		switch {
		case err == nil:
			port = ln.Addr().(*net.TCPAddr).Port
			listeners = append(listeners, ln)
		case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
			// this machine has no such address, so nobody else listens there
		default:
			closeAll(listeners)
			return nil, err
		}
	}
	if len(listeners) == 0 {
		return nil, errors.New("this machine has no loopback address")
	}
	return listeners, nil
}

func listen(host string, port int) (net.Listener, error) {
	lc := net.ListenConfig{Control: exclusive}
	return lc.Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}

func closeAll(listeners []net.Listener) {
	for _, ln := range listeners {
		ln.Close()
	}
}

// serve begins to take requests for login.
func (l *loopbackServer) serve(login *pending) {
	l.login = login
	l.server = &http.Server{
		Handler:           l,
		ReadHeaderTimeout: callbackTimeout,
		ReadTimeout:       callbackTimeout,
		IdleTimeout:       callbackTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // it quotes requests
	}
	for _, ln := range l.listeners {
		go l.server.Serve(ln)
	}
}

// ServeHTTP answers the browser: the answer to the login with a redirect to a page, so
// that the code does not stay in the address bar, and the page.
func (l *loopbackServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page, isPage := pageAt(r.URL.Path)
	secure(w.Header())
	switch {
	case r.Host != l.host: // a name that was made to stand for this machine
		http.Error(w, "This is not the host that you asked for.", http.StatusMisdirectedRequest)
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "Only GET.", http.StatusMethodNotAllowed)
	case r.URL.Path == l.path:
		redirectToPage(w, l.answer(r))
	case isPage:
		servePage(w, page)
		l.hasSeen(page)
	default:
		http.Error(w, "There is nothing here.", http.StatusNotFound)
	}
}

// answer takes what may be the answer to the login, and returns the page for it.
func (l *loopbackServer) answer(r *http.Request) ending {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || l.login.check(params) != nil {
		return endedBadly
	}
	select {
	case l.answers <- params:
	case <-l.ended:
	case <-r.Context().Done():
		return endedBadly
	}
	select {
	case <-l.ended:
		return l.page
	case <-r.Context().Done():
		return endedBadly
	}
}

// end says how the login ended.
func (l *loopbackServer) end(p ending) {
	l.page = p
	close(l.ended)
}

// hasSeen notes that the browser has the page at which the login ended.
func (l *loopbackServer) hasSeen(p ending) {
	select {
	case <-l.ended:
		if p == l.page {
			l.once.Do(func() { close(l.shown) })
		}
	default:
	}
}

// close ends the listening. After an answer the browser has some time to fetch the page.
func (l *loopbackServer) close(answered bool) {
	if answered {
		select {
		case <-l.shown:
		case <-time.After(pageGrace):
		}
	}
	if l.server == nil {
		closeAll(l.listeners)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), pageGrace)
	defer cancel()
	if !answered {
		cancel()
	}
	l.server.Shutdown(ctx)
	l.server.Close()
	closeAll(l.listeners) // those that Serve did not get to know
}
