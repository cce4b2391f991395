package clienttest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/transport"
)

// refresh sends one refresh, as a program without Freshet would, and returns the
// status and the body; 0 for a broken connection.
func refresh(srv *clienttest.Server, tok *oauth2.Token) (int, string) {
	req, _ := http.NewRequest("POST", srv.TokenURL(), strings.NewReader(url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken},
	}.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(clienttest.ClientID, clienttest.ClientSecret)
	hc := srv.HTTPClient()
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	hc.Timeout = time.Minute
	resp, err := hc.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		fault  clienttest.Fault
		status int
		body   string // is in it
		acted  bool
	}{
		{"Status", clienttest.Status(503, "Retry-After", "3"), 503, "", false},
		{"OAuthError", clienttest.OAuthError("invalid_client"), 400, "invalid_client", false},
		{"HTML", clienttest.HTML(403), 403, "<html", false},
		{"Unauthorized", clienttest.Unauthorized("Bearer"), 401, "", false},
		{"InsufficientScope", clienttest.InsufficientScope("write"), 403, "", false},
		{"Redirect", clienttest.Redirect(307, "https://evil.test/"), 307, "", false},
		{"Drop", clienttest.Drop(), 0, "", false},
		{"LoseAnswer", clienttest.LoseAnswer(), 0, "", true},
		{"Truncate", clienttest.Truncate(), 0, "", true},
		{"Delay", clienttest.Delay(time.Second), 200, "access_token", true},
		{"Hang", clienttest.Hang(), 0, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := clienttest.NewServer()
				defer srv.Close()
				tok := srv.NewToken("alice")
				srv.FailToken(1, test.fault)
				status, body := refresh(srv, tok)
				if status != test.status || !strings.Contains(strings.ToLower(body), test.body) {
					t.Errorf("%d %q, want %d with %q", status, body, test.status, test.body)
				}
				if acted := srv.Stats().Refreshes == 1; acted != test.acted {
					t.Errorf("the server acted: %t, want %t", acted, test.acted)
				}
				if status, _ := refresh(srv, tok); (status == 200) == test.acted {
					t.Errorf("the same refresh token again: %d", status)
				}
			})
		})
	}
}

func TestFailAPI(t *testing.T) {
	srv := clienttest.NewServer()
	defer srv.Close()
	srv.FailAPI(clienttest.Always, clienttest.Status(418))
	for range 2 {
		if resp, err := srv.HTTPClient().Get(srv.APIURL("/")); err != nil || resp.StatusCode != 418 {
			t.Errorf("%v, %v", resp, err)
		}
	}
	srv.ClearFaults()
	if resp, err := srv.HTTPClient().Get(srv.APIURL("/")); err != nil || resp.StatusCode != 401 {
		t.Errorf("%v, %v", resp, err)
	}
	if n := srv.Stats(); n.APIRequests != 3 || n.Unauthorized != 1 {
		t.Errorf("%+v", n)
	}
	srv.ResetStats()
	if n := srv.Stats(); n != (clienttest.Stats{}) {
		t.Errorf("after ResetStats: %+v", n)
	}
}

func TestPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := clienttest.NewServer()
		defer srv.Close()
		tok := srv.NewToken("alice")
		try := func(what string, want int, tok *oauth2.Token) {
			t.Helper()
			if status, body := refresh(srv, tok); status != want {
				t.Errorf("%s: %d %s, want %d", what, status, body, want)
			}
		}
		srv.SetPolicy(clienttest.Policy{KeepRefreshToken: true})
		try("kept", 200, tok)
		try("kept, again", 200, tok)
		srv.SetPolicy(clienttest.Policy{Grace: time.Minute})
		try("rotated", 200, tok)
		try("within the grace", 200, tok)
		time.Sleep(2 * time.Minute)
		srv.SetPolicy(clienttest.Policy{ForgiveReuse: true})
		try("after it", 400, tok)

		srv.SetPolicy(clienttest.Policy{RefreshLifetime: time.Hour})
		late := srv.NewToken("bob")
		time.Sleep(2 * time.Hour)
		try("too late", 400, late)

		srv.SetPolicy(clienttest.Policy{Latency: time.Second, Members: map[string]string{"expires_in": `"60"`}})
		start := time.Now()
		if status, body := refresh(srv, srv.NewToken("carol")); status != 200 || !strings.Contains(body, `"expires_in":"60"`) || time.Since(start) != time.Second {
			t.Errorf("%d %s after %s", status, body, time.Since(start))
		}
	})
}

// One account's end is not another's.
func TestRevokeSession(t *testing.T) {
	srv := clienttest.NewLoopbackServer()
	defer srv.Close()
	c, err := client.New(srv.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for _, name := range []string{"alice", "bob"} {
		if err := srv.SignIn(t.Context(), c.Session(name)); err != nil {
			t.Fatal(err)
		}
	}
	srv.RevokeSession("alice")
	for name, want := range map[string]int{"alice": 401, "bob": 200} {
		resp, err := c.Session(name).HTTPClient().Get(srv.APIURL("/"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		over := errors.Is(transport.RefreshErrorOf(resp), client.ErrLoginRequired)
		if resp.StatusCode != want || over != (name == "alice") {
			t.Errorf("%s: %d, login required %t", name, resp.StatusCode, over)
		}
	}
	u, _ := url.Parse(srv.APIURL(""))
	if !srv.TokenSeenBy(u.Host) || srv.TokenSeenBy("evil.test") {
		t.Error("TokenSeenBy does not know where the tokens went")
	}
}
