package testserver_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/internal/testserver"
)

// newServer returns a server in memory that closes with the test, and a client.
func newServer(t *testing.T) (*testserver.Server, *http.Client) {
	t.Helper()
	srv := testserver.New()
	t.Cleanup(srv.Close)
	return srv, srv.Client()
}

// A reply is what came of a request, its body read to the end.
type reply struct {
	status  int
	header  http.Header
	body    string
	bodyErr error
	members map[string]any // of a JSON object
}

func (r reply) text(member string) string {
	text, _ := r.members[member].(string)
	return text
}

func send(c *http.Client, req *http.Request) (reply, error) {
	resp, err := c.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	r := reply{status: resp.StatusCode, header: resp.Header, body: string(body), bodyErr: err}
	json.Unmarshal(body, &r.members)
	return r, nil
}

func must(t *testing.T, r reply, err error) reply {
	t.Helper()
	if err = errors.Join(err, r.bodyErr); err != nil {
		t.Fatal(err)
	}
	return r
}

func tokenRequest(srv *testserver.Server, form url.Values) *http.Request {
	req, err := http.NewRequest("POST", srv.TokenURL(), strings.NewReader(form.Encode()))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

func refreshForm(refreshToken string) url.Values {
	return url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}, "client_id": {"app"},
	}
}

func refreshRequest(srv *testserver.Server, refreshToken string) *http.Request {
	return tokenRequest(srv, refreshForm(refreshToken))
}

// refresh makes one refresh and demands an answer, of any status.
func refresh(t *testing.T, srv *testserver.Server, c *http.Client, refreshToken string) reply {
	t.Helper()
	r, err := send(c, refreshRequest(srv, refreshToken))
	return must(t, r, err)
}

func apiRequest(method, url, accessToken string, body io.Reader) *http.Request {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		panic(err)
	}
	if accessToken != "" {
		req.Header.Set("Authorization", "Bearer "+accessToken)
	}
	return req
}

// get asks the API and demands an answer, of any status.
func get(t *testing.T, c *http.Client, url, accessToken string) reply {
	t.Helper()
	r, err := send(c, apiRequest("GET", url, accessToken, nil))
	return must(t, r, err)
}

func wantStatus(t *testing.T, r reply, want int) {
	t.Helper()
	if r.status != want {
		t.Errorf("status %d, want %d; body %.200s", r.status, want, r.body)
	}
}

func wantError(t *testing.T, r reply, status int, code string) {
	t.Helper()
	wantStatus(t, r, status)
	if got := r.text("error"); got != code {
		t.Errorf("error %q, want %q", got, code)
	}
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
