package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A fixture is a server in memory and a session there.
type fixture struct {
	*testserver.Server
	client  *Client
	session *Session
	seed    string // the refresh token that the session was begun with
}

const (
	testID     = "app"
	testSecret = "client-secret-canary"
)

// newFixture returns a session that has a refresh token and no access token, so
// that the first request needs a refresh.
func newFixture(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	f := &fixture{Server: testserver.New()}
	t.Cleanup(f.Close)
	cfg := Config{
		Issuer:        f.Issuer(),
		Endpoint:      oauth2.Endpoint{TokenURL: f.TokenURL()},
		RevocationURL: f.RevocationURL(),
		ClientID:      testID,
		ClientSecret:  testSecret,
		Store:         new(tokenstore.Memory),
		Base:          f.Transport(),
		TokenClient:   f.Client(),
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if f.client, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	f.session = f.client.Session("alice")
	if cfg.Grant == nil {
		f.seed = f.BeginSession("alice").RefreshToken
		if err := f.session.Import(t.Context(), &oauth2.Token{RefreshToken: f.seed}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// answer makes the token endpoint give that answer to everything.
func (f *fixture) answer(status int, contentType, body string) {
	header := http.Header{"Content-Type": {contentType}}
	if contentType == "" {
		header["Content-Type"] = nil // else net/http guesses one
	}
	f.Inject(testserver.OnToken, testserver.Always, testserver.Respond(status, header, body))
}

// members makes answers have those members, as JSON, in place of the server's.
func (f *fixture) members(members map[string]string) {
	f.UpdatePolicy(func(p *testserver.Policy) { p.Members = members })
}

// record returns what the store holds.
func (f *fixture) record(t *testing.T) tokenstore.Record {
	t.Helper()
	b, err := f.client.cfg.Store.Load(t.Context(), f.client.key("alice"))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := tokenstore.DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// fail asks for a token and returns why there is none.
func (f *fixture) fail(t *testing.T) *transport.RefreshError {
	t.Helper()
	tok, err := f.session.Token(t.Context())
	var re *transport.RefreshError
	if !errors.As(err, &re) {
		t.Fatalf("got token %v and error %v, want a RefreshError", tok, err)
	}
	return re
}

// lastRequest returns the last request to the token endpoint.
func (f *fixture) lastRequest(t *testing.T) testserver.Entry {
	t.Helper()
	all := f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.Token })
	if len(all) == 0 {
		t.Fatal("no token request came")
	}
	return all[len(all)-1]
}

// shown returns everything that can be printed of err and of the errors in it.
func shown(err error) string {
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&b, verb+"\n", err)
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			b.WriteString(shown(inner))
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			b.WriteString(shown(inner))
		}
	}
	var re *oauth2.RetrieveError
	if errors.As(err, &re) {
		fmt.Fprintf(&b, "%v %+v %s %v", re, *re, re.Body, re.Response)
	}
	return b.String()
}

// public is the change that makes the client a public one.
func public(c *Config) { c.ClientSecret = "" }

// testEndpoint returns the token endpoint of a Config that need name no server.
func testEndpoint(base http.RoundTripper, change ...func(*Config)) *tokenEndpoint {
	c := Config{
		Endpoint:    oauth2.Endpoint{TokenURL: "https://auth.test/token"},
		ClientID:    testID,
		TokenClient: &http.Client{Transport: base},
	}
	for _, f := range change {
		f(&c)
	}
	return newTokenEndpoint(c)
}

// A roundTrip is a RoundTripper made of a func.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// refreshable is a record with a refresh token.
func refreshable(token string) tokenstore.Record {
	return tokenstore.Record{RefreshToken: tokenstore.NewSecret(token)}
}

// refreshWith refreshes with e and returns the error as what it must be.
func refreshWith(ctx context.Context, t *testing.T, e *tokenEndpoint) (tokenstore.Record, *transport.RefreshError) {
	t.Helper()
	rec, err := e.refresh(ctx, refreshable("old"), "")
	var re *transport.RefreshError
	if err != nil && !errors.As(err, &re) {
		t.Fatalf("error %v (%T), want a RefreshError", err, err)
	}
	return rec, re
}
