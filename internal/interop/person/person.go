// Package person stands in for the person who signs in at the browser, over plain
// HTTP: no script runs.
package person

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// A Person can sign in.
type Person struct{ Name, Password string }

// maxForms is how many forms a person fills in before giving up.
const maxForms = 5

// Visit opens a page of an authorization server, fills in the forms for login and
// consent, presses their first button, and visits the redirect URI at last: the
// first page of another host.
func (p Person) Visit(ctx context.Context, start string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, start, nil)
	if err != nil {
		return err
	}
	host := req.URL.Host
	for range maxForms {
		page, err := open(browser, req)
		if err != nil {
			return err
		}
		if page.url.Host != host {
			return nil
		}
		if req, err = p.fillIn(ctx, page); err != nil {
			return err
		}
	}
	return errors.New("person: one form after the other, and no end")
}

// Confirm opens the page where a device's code is confirmed, and fills in its forms until
// there are no more.
func (p Person) Confirm(ctx context.Context, start string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, start, nil)
	if err != nil {
		return err
	}
	for range 2 * maxForms {
		page, err := open(browser, req)
		if err != nil {
			return err
		}
		if find(page.body, "form") == nil {
			return nil
		}
		if req, err = p.fillIn(ctx, page); err != nil {
			return err
		}
	}
	return errors.New("person: one form after the other, and no end")
}

// A page is what the browser shows.
type page struct {
	url  *url.URL
	body *html.Node
}

func open(browser *http.Client, req *http.Request) (page, error) {
	resp, err := browser.Do(req)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return page{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return page{}, fmt.Errorf("person: %s answered %s: %.300s", resp.Request.URL.Redacted(), resp.Status, text)
	}
	body, err := html.Parse(strings.NewReader(string(text)))
	return page{resp.Request.URL, body}, err
}

// fillIn returns the request that the page's form makes.
func (p Person) fillIn(ctx context.Context, page page) (*http.Request, error) {
	form := find(page.body, "form")
	if form == nil {
		return nil, fmt.Errorf("person: no form at %s", page.url.Path)
	}
	action, err := page.url.Parse(attr(form, "action"))
	if err != nil {
		return nil, err
	}
	values := url.Values{}
	pressed := false
	for n := range form.Descendants() {
		kind := strings.ToLower(attr(n, "type"))
		switch {
		case n.Data == "button" || n.Data == "input" && kind == "submit":
			if !pressed && attr(n, "name") != "" {
				values.Set(attr(n, "name"), attr(n, "value"))
			}
			pressed = true
		case n.Data == "input" && attr(n, "name") != "":
			values.Set(attr(n, "name"), p.write(kind, attr(n, "value")))
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, action.String(), strings.NewReader(values.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, nil
}

// write returns what the person writes into a field.
func (p Person) write(kind, value string) string {
	switch kind {
	case "password":
		return p.Password
	case "", "text", "email":
		return p.Name
	}
	return value
}

// find returns the first element with that name, or nil.
func find(body *html.Node, name string) *html.Node {
	for n := range body.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			return n
		}
	}
	return nil
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
