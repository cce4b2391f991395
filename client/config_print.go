package client

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
)

// String describes the Config without its secrets.
func (c Config) String() string {
	secret := "none"
	if c.ClientSecret != "" {
		secret = "[redacted]"
	}
	return fmt.Sprintf("client.Config(client %q at %q, token URL %q, secret %s, scopes %q)",
		c.ClientID, shownURL(c.Issuer), shownURL(c.Endpoint.TokenURL), secret, c.Scopes)
}

// Format prints what [Config.String] returns, for every verb.
func (c Config) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// LogValue is what slog handlers print.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

var errConfig = errors.New("client: a Config holds secrets and is not encoded")

// MarshalText is an error: encoders that would show the secret fail.
func (c Config) MarshalText() ([]byte, error) { return nil, errConfig }

// MarshalJSON is an error: encoders that would show the secret fail.
func (c Config) MarshalJSON() ([]byte, error) { return nil, errConfig }

// GobEncode is an error: encoders that would show the secret fail.
func (c Config) GobEncode() ([]byte, error) { return nil, errConfig }

// shownURL is the part of a URL that can be shown: no user, no query, which may
// hold secrets, and nothing where it can't be read.
func shownURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
