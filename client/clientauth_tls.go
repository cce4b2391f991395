package client

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
)

// MutualTLS authenticates by a certificate in the TLS handshake (RFC 8705 §2). Endpoints
// that the server's metadata has for it go before the others (§5).
//
// The server may bind access tokens to the certificate (§3), so the APIs get it too: from
// the transport that the Client makes where Config.Base is nil. A Base of the program's own
// has to present it by itself. Config.TokenClient may have an *http.Transport, which is
// copied.
//
// Printed, it shows nothing of the key, unless it is in an unexported field.
type MutualTLS struct {
	// Certificate has the certificate and its private key. It is required.
	Certificate tls.Certificate
}

func (MutualTLS) authenticate(c identity, form url.Values, _ http.Header) error {
	form.Set("client_id", c.id) // RFC 8705 §2
	return nil
}

func (MutualTLS) takesSecret() bool { return false }

func (a MutualTLS) check(c *Config, p *problems) {
	if len(a.Certificate.Certificate) == 0 || a.Certificate.PrivateKey == nil {
		p.add("Auth.Certificate has no certificate or no private key: tls.LoadX509KeyPair reads both")
	}
	switch c.tokenTransport().(type) {
	case nil, *http.Transport:
	default:
		p.add("TokenClient has a Transport that is no *http.Transport, so the certificate can't be put into it: make an *http.Transport, or leave it nil")
	}
}

// over returns a copy of t that presents the certificate.
func (a MutualTLS) over(t *http.Transport) *http.Transport {
	t = t.Clone()
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = new(tls.Config)
	}
	t.TLSClientConfig.Certificates = []tls.Certificate{a.Certificate}
	return t
}

// String describes the authentication without the key.
func (a MutualTLS) String() string { return "client.MutualTLS" }

// Format prints what [MutualTLS.String] returns, for every verb.
func (a MutualTLS) Format(f fmt.State, _ rune) { io.WriteString(f, a.String()) }

// LogValue is what slog handlers print.
func (a MutualTLS) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalText is an error: encoders that would show the key fail.
func (a MutualTLS) MarshalText() ([]byte, error) { return nil, errKey }

// GobEncode is an error: encoders that would show the key fail.
func (a MutualTLS) GobEncode() ([]byte, error) { return nil, errKey }

// useCertificate has a client that authenticates by mutual TLS do so everywhere.
func (c *Config) useCertificate() {
	auth, ok := c.Auth.(MutualTLS)
	if !ok {
		return
	}
	if t, ok := c.tokenTransport().(*http.Transport); ok {
		c.TokenClient.Transport = auth.over(t)
	}
	if c.Base == nil {
		base, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			base = new(http.Transport)
		}
		c.Base = auth.over(base)
	}
}
