package testserver_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
)

var verifier = strings.Repeat("v", 43)

// authorization returns an authorization request, changed.
func authorization(change ...string) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {"https://app.test/cb?x=1"}, "state": {"s"}, "scope": {"read"},
		"code_challenge_method": {"S256"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)},
	}
	set(q, change)
	return q
}

// set sets names to the values that follow them; an empty one takes a name away.
func set(form url.Values, change []string) {
	for i := 0; i < len(change); i += 2 {
		if form.Set(change[i], change[i+1]); change[i+1] == "" {
			form.Del(change[i])
		}
	}
}

// signIn lets alice say yes and returns what comes back to the client.
func signIn(t *testing.T, srv *testserver.Server, change ...string) url.Values {
	t.Helper()
	params, err := srv.Callback(t.Context(), testserver.Person{Account: "alice"}, srv.AuthURL()+"?"+authorization(change...).Encode())
	if err != nil {
		t.Fatal(err)
	}
	return params
}

func exchange(t *testing.T, srv *testserver.Server, c *http.Client, code string, change ...string) reply {
	t.Helper()
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {"app"}, "redirect_uri": {"https://app.test/cb?x=1"}, "code_verifier": {verifier},
	}
	set(form, change)
	r, err := send(c, tokenRequest(srv, form))
	return must(t, r, err)
}

func TestAuthorizationCode(t *testing.T) {
	srv, c := newServer(t)
	params := signIn(t, srv)
	if params.Get("state") != "s" || params.Get("iss") != srv.Issuer() || params.Get("x") != "1" {
		t.Errorf("came back with %v", params)
	}
	for _, change := range [][]string{
		{"code", "another"}, {"client_id", "other"}, {"redirect_uri", "https://app.test/cb"}, {"redirect_uri", ""}, {"code_verifier", verifier + "v"}, {"code_verifier", ""},
	} {
		wantError(t, exchange(t, srv, c, params.Get("code"), change...), 400, "invalid_grant")
	}
	tokens := exchange(t, srv, c, params.Get("code"))
	wantStatus(t, tokens, 200)
	wantStatus(t, get(t, c, srv.APIURL("/"), tokens.text("access_token")), 200)

	wantError(t, exchange(t, srv, c, params.Get("code")), 400, "invalid_grant") // RFC 6749 §4.1.2
	wantStatus(t, get(t, c, srv.APIURL("/"), tokens.text("access_token")), 401)
	wantError(t, refresh(t, srv, c, tokens.text("refresh_token")), 400, "invalid_grant")
}

func TestAuthorizationCodeExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		params := signIn(t, srv)
		time.Sleep(time.Minute)
		wantError(t, exchange(t, srv, c, params.Get("code")), 400, "invalid_grant")
	})
}

// What is wrong with the client or its redirect URI is a page, and what else is wrong goes
// back to the client (RFC 6749 §4.1.2.1).
func TestAuthorizationRequest(t *testing.T) {
	srv, c := newServer(t)
	srv.UpdatePolicy(func(p *testserver.Policy) {
		p.Clients = map[string]string{"app": ""}
		p.RedirectURIs = []string{"https://app.test/cb?x=1", "http://127.0.0.1/cb"}
	})
	for _, test := range []struct {
		change []string
		status int
		code   string
	}{
		{nil, 200, ""},
		{[]string{"redirect_uri", "http://127.0.0.1:4711/cb"}, 200, ""},
		{[]string{"client_id", "other"}, 400, ""},
		{[]string{"client_id", ""}, 400, ""},
		{[]string{"redirect_uri", "https://app.test/cb"}, 400, ""},
		{[]string{"redirect_uri", "https://app.test:8443/cb?x=1"}, 400, ""},
		{[]string{"redirect_uri", "https://evil.test/cb?x=1"}, 400, ""},
		{[]string{"redirect_uri", "https://app.test/cb?x=1#f"}, 400, ""},
		{[]string{"redirect_uri", ""}, 400, ""},
		{[]string{"response_type", "token"}, 303, "unsupported_response_type"},
		{[]string{"code_challenge", ""}, 303, "invalid_request"},
		{[]string{"code_challenge_method", "plain"}, 303, "invalid_request"},
		{[]string{"resource", "no-uri"}, 303, "invalid_target"},
	} {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		r := get(t, c, srv.AuthURL()+"?"+authorization(test.change...).Encode(), "")
		wantStatus(t, r, test.status)
		u, _ := url.Parse(r.header.Get("Location"))
		if got := u.Query().Get("error"); got != test.code {
			t.Errorf("%v: error %q, want %q", test.change, got, test.code)
		}
	}
}

func TestPushedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		srv.UpdatePolicy(func(p *testserver.Policy) { p.RequirePush = true })
		push := func(change ...string) reply {
			req := tokenRequest(srv, authorization(change...))
			req.URL, _ = url.Parse(srv.PushURL())
			r, err := send(c, req)
			return must(t, r, err)
		}
		wantError(t, push("request_uri", "x"), 400, "invalid_request")
		wantError(t, push("code_challenge", ""), 400, "invalid_request")
		open := func(client, uri string) error {
			_, err := srv.Callback(t.Context(), testserver.Person{Account: "alice"}, srv.AuthURL()+"?"+url.Values{"client_id": {client}, "request_uri": {uri}}.Encode())
			return err
		}
		r := push()
		wantStatus(t, r, 201)
		uri := r.text("request_uri")
		for what, err := range map[string]error{
			"another client's": open("other", uri), "unknown": open("app", uri+"x"), "not pushed": open("app", ""),
		} {
			if err == nil {
				t.Errorf("a request that is %s is taken", what)
			}
		}
		if err := open("app", uri); err != nil {
			t.Error(err)
		}
		if open("app", uri) == nil {
			t.Error("a request_uri is taken twice")
		}
		late := push().text("request_uri")
		time.Sleep(time.Minute)
		if open("app", late) == nil {
			t.Error("a request_uri is taken that has expired")
		}
	})
}

// Pages have no script, no frame, and nothing of a request that is more than text.
func TestPages(t *testing.T) {
	srv, c := newServer(t)
	c.Jar, _ = cookiejar.New(nil)
	const script = `"><script>alert(1)</script>`
	hostile := authorization("scope", script, "login_hint", script, "state", script, "nonce", script, "client_id", script)
	pages := map[string]string{
		"login":  srv.AuthURL() + "?" + hostile.Encode(),
		"error":  srv.AuthURL() + "?redirect_uri=" + url.QueryEscape(script) + "&client_id=" + url.QueryEscape(script),
		"device": srv.Issuer() + "/device?user_code=" + url.QueryEscape(script),
	}
	look := func(name, page string) {
		r := get(t, c, page, "")
		if !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || strings.Contains(r.body, "<script") {
			t.Errorf("%s: %v %s", name, r.header, r.body)
		}
		if csp := r.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "script-src") {
			t.Errorf("%s: the policy is %q", name, csp)
		}
		if r.header.Get("Referrer-Policy") != "no-referrer" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", name, r.header)
		}
	}
	for name, page := range pages {
		look(name, page)
	}
	form := strings.NewReader(url.Values{"action": {"sign in"}, "account": {script}}.Encode())
	req, _ := http.NewRequest("POST", pages["login"], form)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r, err := send(c, req)
	if wantStatus(t, must(t, r, err), 200); !strings.Contains(r.body, `value="allow"`) || strings.Contains(r.body, "<script") {
		t.Errorf("consent: %s", r.body)
	}
	look("consent", pages["login"])
}

func TestPasswords(t *testing.T) {
	srv, _ := newServer(t)
	srv.UpdatePolicy(func(p *testserver.Policy) { p.Passwords = map[string]string{"alice": "secret"} })
	page := srv.AuthURL() + "?" + authorization().Encode()
	for person, ok := range map[testserver.Person]bool{
		{Account: "alice", Password: "secret"}: true, {Account: "alice", Password: "Secret"}: false, {Account: "alice"}: false,
		{Account: "bob", Password: "secret"}: false, {}: false,
	} {
		if _, err := srv.Callback(t.Context(), person, page); (err == nil) != ok {
			t.Errorf("%v: %v", person, err)
		}
	}
}
