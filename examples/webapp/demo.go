package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"regexp"

	"github.com/freshet-go/freshet/client/clienttest"
)

// demo runs the application for two users, each with a browser.
func demo(ctx context.Context, set settings, srv *clienttest.Server) error {
	var failed error
	err := set.serve(ctx, "127.0.0.1:0", func(at string) { failed = story(ctx, at, srv) })
	return errors.Join(failed, err)
}

func story(ctx context.Context, at string, srv *clienttest.Server) error {
	alice, bob := newVisitor(at, "alice"), newVisitor(at, "bob")
	for _, step := range []struct {
		text string
		do   func() error
	}{
		{"Alice opens the page.", func() error { return alice.load(ctx, "/") }},
		{"She signs in.", func() error { return alice.signIn(ctx, srv) }},
		{"Bob signs in beside her.", func() error { return bob.signIn(ctx, srv) }},
		{"Alice loads her page again.", func() error { return alice.load(ctx, "/") }},
		{"The server revokes all access tokens. Bob does not notice.", func() error { srv.RevokeAccessTokens(); return bob.load(ctx, "/") }},
		{"Alice signs out.", func() error { return alice.post(ctx, "/logout") }},
		{"Bob is still signed in.", func() error { return bob.load(ctx, "/") }},
		{"The server ends Bob's session.", func() error { srv.RevokeSession("bob"); return bob.load(ctx, "/") }},
	} {
		fmt.Println(step.text)
		if err := step.do(); err != nil {
			return err
		}
	}
	return nil
}

// A visitor is a user with a browser.
type visitor struct {
	at, account string
	http        *http.Client
}

func newVisitor(at, account string) *visitor {
	jar, _ := cookiejar.New(nil)
	return &visitor{at, account, &http.Client{Jar: jar}}
}

// signIn presses the button, answers the server's questions and comes back.
func (v *visitor) signIn(ctx context.Context, srv *clienttest.Server) error {
	stay := *v.http
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.at+"/login", nil)
	if err != nil {
		return err
	}
	resp, err := stay.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	params, err := srv.Callback(ctx, resp.Header.Get("Location"), v.account)
	if err != nil {
		return err
	}
	return v.load(ctx, "/callback?"+params.Encode())
}

func (v *visitor) load(ctx context.Context, path string) error {
	return v.send(ctx, http.MethodGet, path)
}

func (v *visitor) post(ctx context.Context, path string) error {
	return v.send(ctx, http.MethodPost, path)
}

var shown = regexp.MustCompile(`(?s)<p class="notice"[^>]*>(.*?)</p>|<h1>(.*?)</h1>|<pre[^>]*>([^\n]*)`)

// send loads a page and prints what is to be seen on it.
func (v *visitor) send(ctx context.Context, method, path string) error {
	req, err := http.NewRequestWithContext(ctx, method, v.at+path, nil)
	if err != nil {
		return err
	}
	resp, err := v.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	for _, m := range shown.FindAllStringSubmatch(string(text), -1) {
		fmt.Println("   " + html.UnescapeString(m[1]+m[2]+m[3]))
	}
	return err
}
