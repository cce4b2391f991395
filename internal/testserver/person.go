package testserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// A Person signs in at the server as one does with a browser: it loads the pages, fills
// in the forms and follows the redirects. Each visit is with a browser of its own.
type Person struct {
	Account, Password string
	Denies            bool // what the program asks for
}

// Visit goes through an authorization request, and on to where it leads: the client's
// page, which it loads.
func (s *Server) Visit(ctx context.Context, p Person, authorizationURL string) error {
	back, err := s.visit(ctx, p, authorizationURL)
	if err != nil {
		return err
	}
	resp, err := get(ctx, new(http.Client), back)
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return err
}

// Callback goes through an authorization request and returns the parameters with which
// the server sends the browser back to the client.
func (s *Server) Callback(ctx context.Context, p Person, authorizationURL string) (url.Values, error) {
	back, err := s.visit(ctx, p, authorizationURL)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(back)
	if err != nil {
		return nil, err
	}
	return u.Query(), nil
}

// visit returns the URL to which the server sends the browser in the end.
func (s *Server) visit(ctx context.Context, p Person, page string) (string, error) {
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Transport: s.Transport(), Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	decision := "allow"
	if p.Denies {
		decision = "deny"
	}
	for range 10 {
		resp, err := get(ctx, browser, page)
		if err != nil {
			return "", err
		}
		text, err := readPage(resp)
		if err != nil {
			return "", err
		}
		form := url.Values{"action": {decision}}
		switch {
		case resp.StatusCode/100 == 3:
			return resp.Header.Get("Location"), nil
		case strings.Contains(text, `name="password"`):
			form = url.Values{"action": {"sign in"}, "account": {p.Account}, "password": {p.Password}}
		case !strings.Contains(text, `value="allow"`):
			return "", fmt.Errorf("testserver: the page at %s asks nothing: status %d", resp.Request.URL.Path, resp.StatusCode)
		}
		next, err := post(ctx, browser, page, form)
		if err != nil {
			return "", err
		}
		if s.leads(next) {
			return next, nil
		}
		page = next
	}
	return "", errors.New("testserver: the pages do not come to an end")
}

// leads reports whether a URL is not the server's own.
func (s *Server) leads(to string) bool { return !strings.HasPrefix(to, s.issuer+"/") }

func get(ctx context.Context, browser *http.Client, page string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, err
	}
	return browser.Do(req)
}

func readPage(resp *http.Response) (string, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// post sends a form and returns where the answer leads.
func post(ctx context.Context, browser *http.Client, page string, form url.Values) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, page, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", formType)
	resp, err := browser.Do(req)
	if err != nil {
		return "", err
	}
	if _, err := readPage(resp); err != nil {
		return "", err
	}
	to, err := resp.Location()
	if err != nil {
		return "", fmt.Errorf("testserver: the form at %s was answered %d", resp.Request.URL.Path, resp.StatusCode)
	}
	return to.String(), nil
}
