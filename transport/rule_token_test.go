package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func TestRule004_callers_authorization_untouched(t *testing.T) {
	tests := []struct{ key, value string }{
		{"Authorization", "Bearer the-caller's"},
		{"Authorization", "Basic dXNlcjpwdw=="},
		{"Authorization", ""},
		{"authorization", "Bearer the-caller's"},
		{"AUTHORIZATION", "Bearer the-caller's"},
	}
	for _, test := range tests {
		t.Run(test.key+" "+test.value, func(t *testing.T) {
			w := &wire{answer: func(*http.Request) *http.Response {
				return reply(http.StatusUnauthorized, "WWW-Authenticate", `Bearer error="invalid_token"`)
			}}
			c, i := signedIn(t, w, transport.Config{})
			req, err := http.NewRequest("GET", "https://api.example.com", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header[test.key] = []string{test.value}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != 401 || string(body) != "status 401" || err != nil {
				t.Errorf("got status %d, body %q, %v", resp.StatusCode, body, err)
			}
			if len(w.seen) != 1 || !slices.Equal(w.seen[0].Header[test.key], []string{test.value}) || len(w.seen[0].Header) != 1 {
				t.Errorf("sent %d requests, want one with the caller's header", len(w.seen))
			}
			if n := i.calls.Load(); n != 0 {
				t.Errorf("%d calls of Refresh, want none", n)
			}
		})
	}
}

func TestRule005_userinfo_refused(t *testing.T) {
	const secret = "hunter2"
	for _, text := range []string{
		"https://" + secret + "@api.example.com/",
		"https://user:" + secret + "@api.example.com/",
		"http://user:" + secret + "@127.0.0.1/",
		"https://user:" + secret + "@evil.example/",
		"https://@api.example.com/",
	} {
		t.Run(text, func(t *testing.T) {
			log := new(logBuffer)
			w := new(wire)
			c := loggedIn(t, w, log, []string{"https://api.example.com", "http://127.0.0.1"})
			req, err := http.NewRequest("GET", text, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Transport.RoundTrip(req)
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want an error without the password", err)
			}
			err = fetch(t, c, strings.Replace(text, "//"+secret, "//user:"+secret, 1))
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("by a client: got %v, want an error without the password", err)
			}
			w.answer = func(*http.Request) *http.Response { return reply(302, "Location", text) }
			if err := fetch(t, c, "https://api.example.com/start"); err == nil {
				t.Error("by a redirect: got no error")
			}
			wantSent(t, w, "1") // the request that was redirected
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log has it: %s", log)
			}
		})
	}
}

// A tap is a server at the other end of a pipe, that keeps the bytes of every
// request and answers the first with 401.
type tap struct {
	mu       sync.Mutex
	requests []string
}

func (p *tap) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	go p.serve(there)
	return here, nil
}

func (p *tap) serve(conn net.Conn) {
	defer conn.Close()
	var text bytes.Buffer
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(conn, &text)))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, req.Body)
	p.mu.Lock()
	p.requests = append(p.requests, text.String())
	first := len(p.requests) == 1
	p.mu.Unlock()
	status := "200 OK"
	if first {
		status = "401 Unauthorized"
	}
	fmt.Fprintf(conn, "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status)
}

func TestRule006_token_once_in_the_header(t *testing.T) {
	get := func(method, query, kind, body string) func() *http.Request {
		return func() *http.Request {
			req, _ := http.NewRequest(method, "https://api.example.com/v1"+query, strings.NewReader(body))
			req.Header.Set("Content-Type", kind)
			req.AddCookie(&http.Cookie{Name: "session", Value: "abc"})
			return req
		}
	}
	for name, make := range map[string]func() *http.Request{
		"GET":  get("GET", "?access_token=&a=b", "text/plain", ""),
		"form": get("POST", "", "application/x-www-form-urlencoded", url.Values{"access_token": {""}}.Encode()),
		"JSON": get("PUT", "", "application/json", `{"token":null}`),
		"trailer": func() *http.Request {
			req := get("POST", "", "text/plain", "body")()
			req.ContentLength, req.Trailer = -1, http.Header{"Checksum": {"1"}}
			return req
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := new(tap)
			base := &http.Transport{DialTLSContext: p.dial}
			c, _ := signedIn(t, base, transport.Config{})
			resp, err := c.Do(make())
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if len(p.requests) != 2 {
				t.Fatalf("%d requests, want 2", len(p.requests))
			}
			for i, text := range p.requests {
				line := fmt.Sprintf("\r\nAuthorization: Bearer %s%d\r\n", canary, i+1)
				if strings.Count(text, canary) != 1 || !strings.Contains(text, line) {
					t.Errorf("request %d: want a token in Authorization and nowhere else:\n%s", i+1, text)
				}
			}
		})
	}
}

// badTokens has each byte that no token has, in a token.
func badTokens() (list []string) {
	for b := range 256 {
		if b <= ' ' || b >= 0x7f {
			list = append(list, canary+string([]byte{byte(b)})+"X-Injected:y")
		}
	}
	return append(list, canary+"\r\nX-Injected: y", canary+"\u00e9", canary+"\u2028")
}

func TestRule008_token_bytes(t *testing.T) {
	for name, refused := range map[string]func(t *testing.T, store tokenstore.Store, w *wire, bad string) error{
		"in an answer":                 answersBad,
		"in an answer, refresh token":  answersBadRefreshToken,
		"in an answer, both tokens":    answersBadBoth,
		"in an answer, x/oauth2 token": answersBadOAuth2,
		"in the store":                 storesBad,
		"in a login":                   setsBad,
		"in a login, refresh token":    setsBadRefreshToken,
	} {
		t.Run(name, func(t *testing.T) {
			for _, bad := range badTokens() {
				store, w := new(tokenstore.Memory), new(wire)
				err := refused(t, store, w, bad)
				if err == nil || strings.Contains(err.Error(), canary) {
					t.Errorf("%q: got %v, want an error that does not show it", bad, err)
				}
				if sent := strings.Join(w.tokens(), ""); strings.Contains(sent, canary) {
					t.Errorf("%q: sent %q", bad, sent)
				}
				b, err := store.Load(t.Context(), key)
				if strings.Contains(string(b), canary) && name != "in the store" {
					t.Errorf("%q: saved %s, %v", bad, b, err)
				}
			}
		})
	}
}

const key = "rule-008"

// ask asks for a token by a request and by Source.Token, and returns every error
// that anybody is told.
func ask(t *testing.T, store tokenstore.Store, w *wire, refresh transport.RefreshFunc) error {
	t.Helper()
	var ended error
	src := newSource(t, transport.SourceConfig{Refresh: refresh, Store: store, Key: key, Observer: &transport.Observer{
		RefreshEnded: func(e transport.RefreshEnded) { ended = errors.Join(ended, e.Err) },
	}})
	c, _ := signedIn(t, w, transport.Config{Source: src})
	err := fetch(t, c, "https://api.example.com")
	tok, terr := src.Token(t.Context(), "")
	if strings.Contains(tok.Reveal(), canary) {
		t.Errorf("got the token %q", tok.Reveal())
	}
	if err := src.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return errors.Join(err, terr, ended)
}

func answersBad(t *testing.T, store tokenstore.Store, w *wire, bad string) error {
	return ask(t, store, w, func(_ context.Context, old tokenstore.Record, _ string) (tokenstore.Record, error) {
		old.RefreshToken = tokenstore.NewSecret("rotated")
		old.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret(bad)})
		return old, nil
	})
}

func answersBadRefreshToken(t *testing.T, store tokenstore.Store, w *wire, bad string) error {
	return ask(t, store, w, func(_ context.Context, old tokenstore.Record, _ string) (tokenstore.Record, error) {
		old.RefreshToken = tokenstore.NewSecret(bad)
		old.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret("good")})
		return old, nil
	})
}

func answersBadBoth(t *testing.T, store tokenstore.Store, w *wire, bad string) error {
	return ask(t, store, w, func(_ context.Context, old tokenstore.Record, _ string) (tokenstore.Record, error) {
		old.RefreshToken = tokenstore.NewSecret(bad)
		old.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret(bad)})
		return old, nil
	})
}

func answersBadOAuth2(t *testing.T, store tokenstore.Store, w *wire, bad string) error {
	return ask(t, store, w, transport.FromTokenFunc(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: bad}, nil
	}))
}

// storesBad puts a token into the store that no version of this program would.
func storesBad(t *testing.T, store tokenstore.Store, w *wire, bad string) error {
	t.Helper()
	rec := tokenstore.Record{Session: tokenstore.NewSessionID("")}
	rec.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret("TOKEN")})
	b, err := rec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(bad)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte(`"TOKEN"`), text, 1)
	err = store.Update(t.Context(), key, func(context.Context, []byte) ([]byte, error) { return b, nil })
	if err != nil {
		t.Fatal(err)
	}
	return ask(t, store, w, new(issuer).refresh)
}

func setsBad(t *testing.T, store tokenstore.Store, _ *wire, bad string) error {
	rec := tokenstore.Record{RefreshToken: tokenstore.NewSecret("good")}
	rec.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret(bad)})
	return newSource(t, transport.SourceConfig{Refresh: new(issuer).refresh, Store: store, Key: key}).Set(t.Context(), rec)
}

func setsBadRefreshToken(t *testing.T, store tokenstore.Store, _ *wire, bad string) error {
	rec := tokenstore.Record{RefreshToken: tokenstore.NewSecret(bad)}
	return newSource(t, transport.SourceConfig{Refresh: new(issuer).refresh, Store: store, Key: key}).Set(t.Context(), rec)
}
