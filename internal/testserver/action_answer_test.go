package testserver_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/internal/testserver"
)

func TestStatus(t *testing.T) {
	srv, c := newServer(t)
	rt := srv.BeginSession("alice").RefreshToken
	srv.Inject(testserver.OnToken, 1, testserver.Status(503, "Retry-After", "30"))
	srv.Inject(testserver.OnToken, 1, testserver.Status(429))
	r := refresh(t, srv, c, rt)
	wantStatus(t, r, 503)
	want(t, "Retry-After", r.header.Get("Retry-After"), "30")
	want(t, "body", r.body, "503 Service Unavailable\n")
	r = refresh(t, srv, c, rt)
	wantStatus(t, r, 429)
	want(t, "Retry-After", r.header.Get("Retry-After"), "")
	wantStatus(t, refresh(t, srv, c, rt), 200)
	want(t, "refreshes", srv.Log().Refreshes(), 1)
}

func TestProxyAuth(t *testing.T) {
	srv, c := newServer(t)
	srv.Inject(testserver.OnAPI, 1, testserver.Status(407, "Proxy-Authenticate", `Basic realm="proxy"`))
	r := get(t, c, srv.APIURL("/"), "")
	wantStatus(t, r, 407)
	want(t, "challenge", r.header.Get("Proxy-Authenticate"), `Basic realm="proxy"`)
}

func TestHTML(t *testing.T) {
	srv, c := newServer(t)
	for _, status := range []int{200, 403} {
		srv.Inject(testserver.Match{}, 1, testserver.HTML(status))
		r := refresh(t, srv, c, "rt")
		wantStatus(t, r, status)
		want(t, "page", strings.Contains(r.body, "<h1>"+http.StatusText(status)+"</h1>"), true)
		want(t, "Content-Type", r.header.Get("Content-Type"), "text/html; charset=utf-8")
	}
}

func TestOAuthError(t *testing.T) {
	srv, c := newServer(t)
	rt := srv.BeginSession("alice").RefreshToken
	for _, tc := range []struct {
		status            int
		code, description string
	}{
		{400, "invalid_grant", ""},
		{200, "invalid_grant", "on 200"},
		{401, "invalid_client", "secret CANARY\x1b[2J\" is wrong"},
		{400, "BAD_REFRESH_TOKEN", ""},
		{400, "invalid_request", "please retry the request"},
	} {
		srv.Inject(testserver.OnRefresh, 1, testserver.OAuthError(tc.status, tc.code, tc.description))
		r := refresh(t, srv, c, rt)
		wantError(t, r, tc.status, tc.code)
		want(t, "description", r.text("error_description"), tc.description)
		want(t, "description is there", strings.Contains(r.body, "error_description"), tc.description != "")
		want(t, "error in the log", last(srv).Error, tc.code)
	}
	wantStatus(t, refresh(t, srv, c, rt), 200)
}

func last(srv *testserver.Server) testserver.Entry {
	all := srv.Log().Entries()
	return all[len(all)-1]
}

func TestRespond(t *testing.T) {
	srv, c := newServer(t)
	header := http.Header{"Content-Type": {"text/plain"}, "X-Two": {"a", "b"}}
	srv.Inject(testserver.OnToken, 1, testserver.Respond(207, header, `{"access_token":1,"access_token":2`))
	r := refresh(t, srv, c, "rt")
	wantStatus(t, r, 207)
	want(t, "body", r.body, `{"access_token":1,"access_token":2`)
	want(t, "header", slices.Equal(r.header["X-Two"], header["X-Two"]), true)
}

func TestRaw(t *testing.T) {
	srv, c := newServer(t)
	srv.Inject(testserver.OnToken, 1, testserver.Raw("HTTP/1.1 200 Fine\r\nX: y\r\nContent-Length: 2\r\n\r\nok"))
	r := refresh(t, srv, c, "rt")
	want(t, "body", r.body, "ok")
	want(t, "X", r.header.Get("X"), "y")
	srv.Inject(testserver.OnToken, 1, testserver.Raw("gopher\r\n"))
	c = srv.Client() // the connection of the last one is closed
	if _, err := send(c, refreshRequest(srv, "rt")); err == nil || !strings.Contains(err.Error(), "malformed HTTP") {
		t.Errorf("error %v, want malformed HTTP", err)
	}
}

func TestRedirect(t *testing.T) {
	srv, c := newServer(t)
	other := srv.NewAPI()
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv.Log().Reset()
		tokens := srv.BeginSession("alice")
		srv.Inject(testserver.OnToken, 1, testserver.Redirect(status, other+"/trap"))
		refresh(t, srv, c, tokens.RefreshToken)
		method := http.MethodGet
		if status >= 307 {
			method = http.MethodPost // net/http sends the body again
		}
		want(t, "method", last(srv).Method, method)
		want(t, "token seen", srv.Log().TokenSeenBy("api2.test"), status >= 307)

		srv.Inject(testserver.Match{Endpoint: testserver.API, Path: "/go"}, 1, testserver.Redirect(status, "/there"))
		r := get(t, c, srv.APIURL("/go"), tokens.AccessToken)
		want(t, "path", r.text("path"), "/there")
	}
}

func TestChallenges(t *testing.T) {
	srv, c := newServer(t)
	token := srv.BeginSession("alice").AccessToken
	for _, lines := range [][]string{
		nil,
		{`Bearer`},
		{`Basic realm="a, b"`, `Bearer error="invalid_token", DPoP algs="ES256"`},
	} {
		srv.Inject(testserver.OnAPI, 1, testserver.Unauthorized(lines...))
		r := get(t, c, srv.APIURL("/"), token)
		wantStatus(t, r, 401)
		want(t, "challenges", slices.Equal(r.header["Www-Authenticate"], lines), true)
	}
	forever := srv.Inject(testserver.OnAPI, testserver.Always, testserver.Unauthorized())
	for range 20 {
		wantStatus(t, get(t, c, srv.APIURL("/"), token), 401)
	}
	forever.Clear()
	wantStatus(t, get(t, c, srv.APIURL("/"), token), 200)
	want(t, "unauthorized", srv.Log().Unauthorized(), 23)
}

func TestUnauthorizedBeforeOrAfterBody(t *testing.T) {
	srv, c := newServer(t)
	body, rest := io.Pipe()
	defer rest.Close()
	srv.Inject(testserver.OnAPI, 1, testserver.Unauthorized("Bearer"))
	r, err := send(c, apiRequest("POST", srv.APIURL("/"), "", body))
	wantStatus(t, must(t, r, err), 401)

	body, rest = io.Pipe()
	srv.Inject(testserver.OnAPI, 1, testserver.ReadBody().Then(testserver.Unauthorized("Bearer")))
	var all int
	go func() {
		for range 100 {
			n, _ := io.WriteString(rest, strings.Repeat("x", 10_000))
			all += n
		}
		rest.Close()
	}()
	r, err = send(c, apiRequest("POST", srv.APIURL("/"), "", body))
	wantStatus(t, must(t, r, err), 401)
	want(t, "read before the answer", all, 1_000_000)
}

func TestInsufficientScope(t *testing.T) {
	srv, c := newServer(t)
	srv.Inject(testserver.OnAPI, 1, testserver.InsufficientScope("admin"))
	r := get(t, c, srv.APIURL("/"), srv.BeginSession("alice").AccessToken)
	wantStatus(t, r, 403)
	want(t, "challenge", r.header.Get("WWW-Authenticate"), `Bearer realm="api", error="insufficient_scope", scope="admin"`)
}
