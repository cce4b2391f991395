package browser_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
)

// newSession returns a session at a server with pages.
func newSession(t *testing.T) (*clienttest.Server, *client.Session) {
	t.Helper()
	srv := clienttest.NewLoopbackServer()
	t.Cleanup(srv.Close)
	cfg := srv.Config()
	cfg.Endpoint.TokenURL = "" // the issuer is enough
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return srv, c.Session("alice")
}

// A user signs in, refuses, and closes the tab: each ends as it should, with a page that
// has nothing of the request in it, and the next try works.
func TestLogin(t *testing.T) {
	srv, s := newSession(t)
	b := newTab(t)
	for _, test := range []struct {
		button, heading, page string
		want                  error
	}{
		{"deny", "You did not give access", "/refused", client.ErrAccessDenied},
		{"allow", "You are signed in", "/signed-in", nil},
	} {
		err := s.Login(t.Context(), &client.LoginOptions{Open: func(_ context.Context, url string) error {
			if err := b.try(chromedp.Navigate(url), chromedp.WaitVisible("button", chromedp.ByQuery)); err != nil {
				return err
			}
			b.console() // whether the form for the account comes depends on the cookie
			var asks bool
			if err := b.try(chromedp.Evaluate(`document.querySelector("input[name=account]") !== null`, &asks)); err != nil {
				return err
			}
			if asks {
				b.schemes("server-login")
				if err := b.try(signIn(url, "alice", test.button)); err != nil {
					return err
				}
			} else if err := b.try(answer(test.button)); err != nil {
				return err
			}
			return b.try(wantHeading(test.heading))
		}})
		if !errors.Is(err, test.want) {
			t.Fatalf("%s: %v, want %v", test.button, err, test.want)
		}
		b.wantSilence()
		if at := b.location(); at.Path != test.page || at.RawQuery != "" || at.Fragment != "" {
			t.Errorf("the address bar has %s", at)
		}
		var text string
		b.do(chromedp.OuterHTML("html", &text, chromedp.ByQuery))
		if strings.Contains(text, "alice") || strings.Contains(text, "code") || strings.Contains(text, "state") {
			t.Errorf("something of the request is in the page: %s", text)
		}
		b.schemes("callback" + strings.ReplaceAll(test.page, "/", "-"))
		b.wantPolicy()
	}
	resp, err := s.HTTPClient().Get(srv.APIURL("/me"))
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	if n := srv.Stats().Logins; n != 1 {
		t.Errorf("%d logins at the server", n)
	}
}

// A tab that is closed ends nothing but the time for it, and the next login works.
func TestClosedTab(t *testing.T) {
	_, s := newSession(t)
	b := newTab(t)
	err := s.Login(t.Context(), &client.LoginOptions{Timeout: 3 * time.Second, Open: func(_ context.Context, url string) error {
		return b.try(chromedp.Navigate(url), chromedp.WaitVisible("button", chromedp.ByQuery), chromedp.Navigate("about:blank"))
	}})
	if !errors.Is(err, client.ErrLoginExpired) {
		t.Errorf("after the tab was closed: %v", err)
	}
	var gone string // the redirect URI of that login
	err = s.Login(t.Context(), &client.LoginOptions{Open: func(_ context.Context, url string) error {
		return b.try(signIn(url, "alice", "allow"), wantHeading("You are signed in"), chromedp.Location(&gone))
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.try(chromedp.Navigate(gone)); err == nil {
		t.Error("something still listens after the login")
	}
}
