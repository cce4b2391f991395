package testserver_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

func startDevice(t *testing.T, srv *testserver.Server, c *http.Client) reply {
	t.Helper()
	req := tokenRequest(srv, url.Values{"client_id": {"app"}, "scope": {"read"}})
	req.URL, _ = url.Parse(srv.DeviceURL())
	r, err := send(c, req)
	wantStatus(t, must(t, r, err), 200)
	return r
}

func poll(t *testing.T, srv *testserver.Server, c *http.Client, code string, change ...string) reply {
	t.Helper()
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {code}, "client_id": {"app"}}
	set(form, change)
	r, err := send(c, tokenRequest(srv, form))
	return must(t, r, err)
}

func TestDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		d := startDevice(t, srv, c)
		code, userCode := d.text("device_code"), d.text("user_code")
		if !strings.HasSuffix(d.text("verification_uri_complete"), userCode) || d.members["interval"] != 5.0 {
			t.Errorf("the answer is %s", d.body)
		}
		wantError(t, poll(t, srv, c, code), 400, "authorization_pending")
		wantError(t, poll(t, srv, c, code), 400, "slow_down") // from now on 10 s
		time.Sleep(5 * time.Second)
		wantError(t, poll(t, srv, c, code), 400, "slow_down") // 15 s
		time.Sleep(15 * time.Second)
		wantError(t, poll(t, srv, c, code), 400, "authorization_pending")
		wantError(t, poll(t, srv, c, code+"x"), 400, "invalid_grant")
		wantError(t, poll(t, srv, c, code, "client_id", "other"), 400, "invalid_grant")

		typed := " " + strings.ToLower(strings.ReplaceAll(userCode, "-", " "))
		if srv.AnswerDevice(userCode+"X", "alice") || !srv.AnswerDevice(typed, "alice") || srv.AnswerDevice(userCode, "bob") {
			t.Error("a code is taken as it is typed, and once")
		}
		time.Sleep(15 * time.Second)
		tokens := poll(t, srv, c, code)
		wantStatus(t, tokens, 200)
		wantStatus(t, get(t, c, srv.APIURL("/"), tokens.text("access_token")), 200)
		wantError(t, poll(t, srv, c, code), 400, "invalid_grant")
	})
}

func TestDeviceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		srv.UpdatePolicy(func(p *testserver.Policy) { p.DeviceLifetime = time.Minute })
		denied, late := startDevice(t, srv, c), startDevice(t, srv, c)
		srv.AnswerDevice(denied.text("user_code"), "")
		wantError(t, poll(t, srv, c, denied.text("device_code")), 400, "access_denied")
		time.Sleep(time.Minute)
		wantError(t, poll(t, srv, c, late.text("device_code")), 400, "expired_token")
		if srv.AnswerDevice(late.text("user_code"), "alice") {
			t.Error("a code is taken that has expired")
		}
	})
}
