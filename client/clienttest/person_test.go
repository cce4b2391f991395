package clienttest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
)

// newLogins returns a client whose users come back to this machine, or to a page.
func newLogins(t *testing.T, redirect string) (*clienttest.Server, *client.Client) {
	t.Helper()
	srv := clienttest.NewServer()
	t.Cleanup(srv.Close)
	cfg := srv.Config()
	cfg.RedirectURL = redirect
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return srv, c
}

func TestApprove(t *testing.T) {
	srv, c := newLogins(t, "")
	alice := c.Session("alice")
	if err := alice.Login(t.Context(), &client.LoginOptions{Open: func(ctx context.Context, url string) error { return srv.Approve(ctx, url, "alice") }}); err != nil {
		t.Fatal(err)
	}
	if tok, err := alice.Token(t.Context()); err != nil || tok.Account() != "alice" {
		t.Errorf("%v, %v", tok, err)
	}
	err := alice.Login(t.Context(), &client.LoginOptions{Open: func(ctx context.Context, url string) error { return srv.Deny(ctx, url, "alice") }})
	if !errors.Is(err, client.ErrAccessDenied) || srv.Stats().Logins != 1 {
		t.Errorf("after Deny: %v, %+v", err, srv.Stats())
	}
}

func TestCallback(t *testing.T) {
	srv, c := newLogins(t, "https://app.example.com/callback")
	login, err := c.BeginLogin(t.Context(), &client.LoginOptions{Account: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	for what, url := range map[string]string{
		"nothing": "", "not a URL": "%", "no request": srv.Config().Endpoint.AuthURL, "another server": "https://other.test/",
	} {
		if params, err := srv.Callback(t.Context(), url, "bob"); err == nil {
			t.Errorf("%s: %v", what, params)
		}
	}
	if params, err := srv.Callback(t.Context(), login.URL(), ""); err == nil {
		t.Errorf("nobody has said yes: %v", params)
	}
	params, err := srv.Callback(t.Context(), login.URL(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.FinishLogin(t.Context(), login, params); err != nil || s.Account() != "bob" {
		t.Errorf("%v, %v", s, err)
	}
}

func TestApproveDevice(t *testing.T) { synctest.Test(t, testApproveDevice) }

func testApproveDevice(t *testing.T) {
	srv, c := newLogins(t, "")
	srv.SetPolicy(clienttest.Policy{PollInterval: time.Second})
	answer := func(do func(code string) error) error {
		return c.Session("alice").LoginDevice(t.Context(), func(_ context.Context, p client.DevicePrompt) error { return do(p.UserCode) })
	}
	if err := answer(srv.DenyDevice); !errors.Is(err, client.ErrAccessDenied) {
		t.Errorf("after DenyDevice: %v", err)
	}
	if err := answer(func(code string) error { return srv.ApproveDevice(code, "alice") }); err != nil {
		t.Error(err)
	}
	if srv.ApproveDevice("AAAA-AAAA", "alice") == nil || srv.DenyDevice("") == nil || answer(func(code string) error { return srv.ApproveDevice(code, "") }) == nil {
		t.Error("a code that nobody waits for is answered, or one by nobody")
	}
}
