package interop_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/interop/fositeserver"
	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

// TestSessionEnds ends sessions in every way in which the servers do it, while 50
// goroutines call. The program is told, once; the server is not asked again, however
// many call; and a new login heals it.
//
// An answer that is lost after the server acted is such an end: neither has a grace
// for a spent refresh token, so the second try is a theft to it.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind      string
		end       func(c *callers, s *client.Session, begun *oauth2.Token)
		refreshes int // asked for, by whomever
		lost      int // of these, answers lost
	}{
		"answer dropped":                  {fosite, losing(testserver.LoseAnswer()), 2, 1},
		"answer truncated":                {fosite, losing(testserver.Truncate()), 2, 1},
		"answer dropped, oidc-provider":   {oidc, losing(testserver.LoseAnswer()), 2, 1},
		"answer truncated, oidc-provider": {oidc, losing(testserver.Truncate()), 2, 1},
		"spent by another":                {fosite, spentByAnother, 2, 0},
		"spent again by another":          {fosite, spentAgain, 3, 0},
		"revoked":                         {fosite, revoked, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, c.kind, time.Hour)
			var told atomic.Int32
			begun := w.login()
			program := w.client(nil, observing(&told))
			s := w.imported(program, begun)
			callers := w.callers(50, s)
			c.end(callers, s, begun)
			w.await("the session is over", func() bool { return s.Status().State == transport.StateLoginRequired })
			calls := callers.round()
			wantOnly(t, calls, ok, needsLogin, loginAfter)
			for range 3 {
				more := callers.round()
				wantOnly(t, more, needsLogin)
				calls.add(more)
			}
			w.wantRefreshes(c.refreshes)
			w.await("the observer is told", func() bool { return told.Load() > 0 })
			if n := told.Load(); n != 1 {
				t.Errorf("the observer was told %d times, want once", n)
			}

			w.imported(program, w.login())
			callers.round()
			wantOnly(t, callers.round(), ok)
			w.wantRefreshes(c.refreshes)
			t.Logf("refreshes asked for: %d, answers lost: %d, calls until the new login: %v", c.refreshes, c.lost, calls)
		})
	}
}

func observing(told *atomic.Int32) func(*client.Config) {
	return func(cfg *client.Config) {
		cfg.Observer = &transport.Observer{LoginRequired: func(transport.LoginRequiredEvent) { told.Add(1) }}
	}
}

// losing has the answer to a refresh lost.
func losing(action testserver.Action) func(*callers, *client.Session, *oauth2.Token) {
	return func(c *callers, s *client.Session, _ *oauth2.Token) {
		c.w.front.Inject(testserver.OnRefresh, 1, action)
		c.w.ban(s)
	}
}

// spentByAnother has another program spend the refresh token behind our back. Our
// next refresh ends the session, and the other's tokens with it.
func spentByAnother(c *callers, _ *client.Session, begun *oauth2.Token) {
	w := c.w
	w.t.Helper()
	other, err := w.spend(begun)
	if err != nil {
		w.t.Fatal(err)
	}
	w.await("the other's access token is dead, too", func() bool {
		_, _, fault := w.server.Check(w.t.Context(), other.AccessToken)
		return fault != ""
	})
}

// spentAgain has another program spend a refresh token that we have spent before.
func spentAgain(c *callers, s *client.Session, begun *oauth2.Token) {
	w := c.w
	w.t.Helper()
	w.ban(s)
	w.await("we have spent it", func() bool { return w.front.Log().Refreshes() == 1 })
	wantOnly(w.t, c.round(), ok)
	if _, err := w.spend(begun); err == nil {
		w.t.Error("fosite took a spent refresh token")
	}
}

// spend refreshes with x/oauth2.
func (w *world) spend(tok *oauth2.Token) (*oauth2.Token, error) {
	return w.oauth2().TokenSource(w.t.Context(), &oauth2.Token{RefreshToken: tok.RefreshToken}).Token()
}

// revoked has the refresh token revoked at the server (RFC 7009 §2.1), and the
// access token with it.
func revoked(c *callers, _ *client.Session, begun *oauth2.Token) {
	w := c.w
	w.t.Helper()
	form := url.Values{"token": {begun.RefreshToken}, "token_type_hint": {"refresh_token"}}
	req, err := http.NewRequest(http.MethodPost, w.front.Issuer()+fositeserver.RevokePath, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(fositeserver.Web.ID, fositeserver.Web.Secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.t.Errorf("revocation was answered %s", resp.Status)
	}
}

// TestNeverIssued imports a refresh token that fosite does not know.
func TestNeverIssued(t *testing.T) {
	w := newWorld(t, time.Hour)
	s := w.imported(w.client(nil), &oauth2.Token{RefreshToken: "never.issued"})
	for range 3 {
		w.wantCall(s, needsLogin)
	}
	w.wantRefreshes(1)
}

// TestRefreshScope asks for less at a refresh. fosite gives all that was granted,
// and says so, and so does the token.
func TestRefreshScope(t *testing.T) {
	w := newWorld(t, time.Hour)
	s := w.imported(w.client(nil, func(cfg *client.Config) {
		cfg.RefreshParams = url.Values{"scope": {"read"}}
	}), &oauth2.Token{RefreshToken: w.login().RefreshToken})
	tok, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if asked := w.refreshes()[0].Form.Get("scope"); asked != "read" {
		t.Errorf("asked for scope %q, want read", asked)
	}
	if tok.Scope() != "openid offline_access read" {
		t.Errorf("scope %q, want all that was granted", tok.Scope())
	}
	if tok.Type() != "Bearer" || tok.IDToken() == "" {
		t.Errorf("a token of type %q, id_token there: %t; want Bearer and one", tok.Type(), tok.IDToken() != "")
	}
}
