package client

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// A guard dials for a client, and keeps a server's metadata from sending the client
// into a network that is not the server's business (RFC 9728 §7.7): with a client
// secret in hand, to the metadata service of a cloud or to a router. The addresses are
// judged after they were looked up, because a name can be made to stand for any.
//
// A host that the program itself named is not judged. One that only the document names
// must not have a link-local address, nor, if the issuer's address is a public one, an
// address that is not. Through a proxy nothing is known, and nothing judged.
type guard struct {
	dialer net.Dialer
	issuer string // its host

	mu     sync.Mutex // guards what follows
	public bool       // the issuer was reached at a public address
	hosts  map[string]bool
}

func newGuard(issuer string) *guard {
	g := &guard{
		dialer: net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second},
		hosts:  make(map[string]bool),
	}
	if u, err := url.Parse(issuer); err == nil {
		g.issuer = u.Hostname()
	}
	return g
}

// named notes the hosts of a document.
func (g *guard) named(doc endpoints) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, raw := range []string{doc.token, doc.revocation, doc.device, doc.pushed} {
		if u, err := url.Parse(raw); err == nil && u.Hostname() != g.issuer {
			g.hosts[u.Hostname()] = true
		}
	}
}

// dial is the DialContext of a transport.
func (g *guard) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	d := g.dialer
	d.Control = func(_, addr string, _ syscall.RawConn) error { return g.judge(host, addr) }
	return d.DialContext(ctx, network, addr)
}

// judge says whether a connection for host may go to addr.
func (g *guard) judge(host, addr string) error {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil // no address of a network
	}
	ip := to.Addr().Unmap().WithZone("")
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case host == g.issuer:
		g.public = g.public || ofInternet(ip)
	case !g.hosts[host]:
	case ip.IsLinkLocalUnicast(), g.public && !ofInternet(ip):
		return guardError{host, ip}
	}
	return nil
}

// A guardError is a connection that was not made.
type guardError struct {
	host string
	addr netip.Addr
}

func (e guardError) Error() string {
	return fmt.Sprintf("the server's metadata names the host %s, which is at %s, not an address of the internet: if that is right, set the URL in Config.Endpoint", clean(e.host, nil, maxShownURI), e.addr)
}

// special are the networks, beside those that netip knows, that are not of the internet
// (RFC 6890 and the registries that go on from it).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), // NAT64: what is behind it can't be told
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4: the same
	netip.MustParsePrefix("fec0::/10"),
}

// ofInternet reports whether ip can be that of a server on the internet.
func ofInternet(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}
