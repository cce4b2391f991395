package interop_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/interop/fositeserver"
	"github.com/freshet-go/freshet/internal/interop/oidcprovider"
	"github.com/freshet-go/freshet/internal/interop/person"
	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
)

// A world is an authorization server behind its front, and a program with a page
// for the redirect URI.
type world struct {
	t        *testing.T
	front    *testserver.Server // what breaks answers; the API; the log
	server   provider
	kind     string
	callback string
	arrivals chan url.Values // at the redirect URI
	clients  []*client.Client
}

// A provider is an authorization server that others wrote.
type provider interface {
	http.Handler
	Check(ctx context.Context, token string) (account, scope, fault string)
	KeepRefreshTokens(on bool)
}

// The kinds of provider.
const (
	fosite = "fosite"
	oidc   = "oidc-provider"
)

var kinds = []string{fosite, oidc}

// newWorld returns a world with fosite in which access tokens live that long, until the
// test ends.
func newWorld(t *testing.T, lifetime time.Duration) *world { return newWorldOf(t, fosite, lifetime) }

func newWorldOf(t *testing.T, kind string, lifetime time.Duration) *world {
	t.Helper()
	w := &world{t: t, kind: kind, front: testserver.NewLoopback(), arrivals: make(chan url.Values, 1)}
	t.Cleanup(w.front.Close)
	program := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w.arrivals <- r.URL.Query()
	}))
	t.Cleanup(program.Close)
	w.callback = program.URL + "/callback"
	if kind == oidc {
		w.server = w.startOIDC(lifetime)
	} else {
		w.server = fositeserver.New(fositeserver.Config{
			Issuer: w.front.Issuer(), RedirectURI: w.callback, AccessLifetime: lifetime,
		})
	}
	up := testserver.Upstream{Handler: w.server, Check: w.server.Check}
	if s, ok := w.server.(*oidcprovider.Server); ok {
		up.Bound = s.Bound
	}
	w.front.StandBefore(up)
	return w
}

// oauth2 is the program's configuration for x/oauth2.
func (w *world) oauth2() *oauth2.Config {
	return &oauth2.Config{
		ClientID:     fositeserver.Web.ID,
		ClientSecret: fositeserver.Web.Secret,
		Endpoint: oauth2.Endpoint{
			AuthURL:   w.front.Issuer() + fositeserver.AuthPath,
			TokenURL:  w.front.TokenURL(),
			AuthStyle: oauth2.AuthStyleInHeader,
		},
		RedirectURL: w.callback,
		Scopes:      []string{"openid", "offline_access", "read"},
	}
}

// login signs alice in with x/oauth2: that is how programs begin which move to
// Freshet.
func (w *world) login() *oauth2.Token {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	cfg, state, verifier := w.oauth2(), oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	alice := person.Person{Name: "alice", Password: fositeserver.Password}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
	for name := range w.params() {
		options = append(options, oauth2.SetAuthURLParam(name, w.params().Get(name)))
	}
	if err := alice.Visit(ctx, cfg.AuthCodeURL(state, options...)); err != nil {
		w.t.Fatal(err)
	}
	back := <-w.arrivals
	if back.Get("state") != state || back.Get("code") == "" {
		w.t.Fatalf("the redirect URI got error %q, state right: %t", back.Get("error"), back.Get("state") == state)
	}
	tok, err := cfg.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		w.t.Fatal(err)
	}
	return tok
}

// client returns a client for the program over store, that closes with the test.
func (w *world) client(store tokenstore.Store, edits ...func(*client.Config)) *client.Client {
	w.t.Helper()
	cfg := client.FromOAuth2(w.oauth2())
	cfg.Store = store
	cfg.Base = w.front.Transport()
	for _, edit := range edits {
		edit(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.clients = append(w.clients, c)
	w.t.Cleanup(func() { w.close(c) })
	return c
}

// close closes clients, of which no refresh is under way then.
func (w *world) close(clients ...*client.Client) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 30*time.Second)
	defer cancel()
	for _, c := range clients {
		if err := c.Close(ctx); err != nil {
			w.t.Errorf("Close: %v", err)
		}
	}
}

// imported returns alice's session, begun with tok.
func (w *world) imported(c *client.Client, tok *oauth2.Token) *client.Session {
	w.t.Helper()
	s := c.Session("alice")
	if err := s.Import(w.t.Context(), tok); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// refreshes returns what the front knows of refreshes, in the order of coming.
func (w *world) refreshes() []testserver.Entry {
	return w.front.Log().Select(func(e testserver.Entry) bool { return e.Grant == "refresh_token" })
}

// refreshToken returns the refresh token that was issued last.
func (w *world) refreshToken() string {
	w.t.Helper()
	all := w.front.Log().Select(func(e testserver.Entry) bool { return e.NewRefreshToken != "" })
	if len(all) == 0 {
		w.t.Fatal("no refresh token was issued")
	}
	return all[len(all)-1].NewRefreshToken
}

// wantRefreshes checks how many refreshes were asked for, well or in vain.
func (w *world) wantRefreshes(want int) {
	w.t.Helper()
	if all := w.refreshes(); len(all) != want {
		w.t.Errorf("%d refreshes were asked for, want %d:\n%v", len(all), want, all)
	}
}

// ban makes the API refuse the session's access token, which the authorization
// server holds to be good.
func (w *world) ban(s *client.Session) {
	w.t.Helper()
	tok, err := s.Token(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.front.RevokeAccessToken(tok.Reveal())
}

// call asks the API once, and returns what came of it.
func (w *world) call(s *client.Session) outcome {
	resp, err := s.HTTPClient().Get(w.front.APIURL("/me"))
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return outcomeOf(resp, err)
}

// wantCall calls once.
func (w *world) wantCall(s *client.Session, want outcome) {
	w.t.Helper()
	if got := w.call(s); got != want {
		w.t.Errorf("a call: %s, want %s", got, want)
	}
}
