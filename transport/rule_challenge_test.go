package transport_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/transport"
)

// A trial is the first answer of an API, and whether a refresh follows.
type trial struct {
	name   string
	status int
	lines  []string // of WWW-Authenticate
	retry  transport.Retry
	again  bool
}

// run sends a request that is answered so the first time, and with 200 after
// that. It returns what the program gets.
func (test trial) run(t *testing.T) *http.Response {
	t.Helper()
	n := 0
	w := &wire{answer: func(*http.Request) *http.Response {
		if n++; n > 1 {
			return reply(http.StatusOK)
		}
		resp := reply(test.status)
		resp.Header["Www-Authenticate"] = test.lines
		return resp
	}}
	c, i := signedIn(t, w, transport.Config{Retry: test.retry})
	resp, err := c.Post("https://api.example.com", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	wantStatus, wantRefreshes, sent := test.status, int64(0), []string{"1"}
	if test.again {
		wantStatus, wantRefreshes, sent = http.StatusOK, 1, []string{"1", "2"}
	}
	wantSent(t, w, sent...)
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if want := fmt.Sprint("status ", wantStatus); resp.StatusCode != wantStatus || string(body) != want || err != nil {
		t.Errorf("got status %d, body %q, %v; want %q", resp.StatusCode, body, err, want)
	}
	if n := i.refreshes(); n != wantRefreshes {
		t.Errorf("%d refreshes, want %d", n, wantRefreshes)
	}
	return resp
}

func runAll(t *testing.T, tests []trial) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t) })
	}
}

func TestRule014_refresh_without_a_reason(t *testing.T) {
	required := transport.Retry{ChallengeRequired: true}
	unreadable := []string{`Bearer realm=https://a/b`}
	runAll(t, []trial{
		{"Bearer", 401, []string{`Bearer realm="api"`}, transport.Retry{}, true},
		{"Bearer alone", 401, []string{"bearer"}, transport.Retry{}, true},
		{"DPoP", 401, []string{`DPoP algs="ES256"`}, transport.Retry{}, true},
		{"no field", 401, nil, transport.Retry{}, true},
		{"an empty field", 401, []string{""}, transport.Retry{}, true},
		{"a field that can't be read", 401, unreadable, transport.Retry{}, true},
		{"a code that nobody has registered", 401, []string{`Bearer error="token_expired"`}, transport.Retry{}, true},

		{"Bearer, challenge required", 401, []string{`Bearer realm="api"`}, required, true},
		{"no field, challenge required", 401, nil, required, false},
		{"an empty field, challenge required", 401, []string{""}, required, false},
		{"a field that can't be read, challenge required", 401, unreadable, required, false},
	})
}

func TestRule016_other_statuses_start_no_refresh(t *testing.T) {
	challenges := map[string][]string{
		"no field":           nil,
		"invalid_token":      {`Bearer error="invalid_token"`},
		"insufficient_scope": {`Bearer error="insufficient_scope", scope="files.read files.write"`},
		"invalid_request":    {`Bearer error="invalid_request"`},
		"Bearer":             {"Bearer"},
	}
	for _, status := range []int{200, 204, 400, 402, 403, 404, 405, 407, 409, 410, 429, 500, 502, 503, 504} {
		for name, lines := range challenges {
			test := trial{status: status, lines: lines}
			t.Run(fmt.Sprint(status, "/", name), func(t *testing.T) {
				resp := test.run(t)
				if name == "insufficient_scope" {
					wantParam(t, resp, "scope", "files.read files.write")
				}
			})
		}
	}
	t.Run("401 with insufficient_scope", func(t *testing.T) {
		resp := trial{status: 401, lines: []string{"Basic", `Bearer scope="a b",ERROR="insufficient_scope"`}}.run(t)
		wantParam(t, resp, "scope", "a b")
	})
}

// wantParam checks a parameter of the Bearer challenge of resp.
func wantParam(t *testing.T, resp *http.Response, name, want string) {
	t.Helper()
	for _, c := range transport.Challenges(resp) {
		if strings.EqualFold(c.Scheme, "Bearer") && c.Param(name) == want {
			return
		}
	}
	t.Errorf("%v: want %s=%q", transport.Challenges(resp), name, want)
}

func TestRule017_other_schemes_start_no_refresh(t *testing.T) {
	runAll(t, []trial{
		{"Basic", 401, []string{`Basic realm="api"`}, transport.Retry{}, false},
		{"Negotiate", 401, []string{"Negotiate"}, transport.Retry{}, false},
		{"Negotiate, NTLM", 401, []string{"Negotiate, NTLM"}, transport.Retry{}, false},
		{"Negotiate and NTLM", 401, []string{"Negotiate oYG2", "NTLM"}, transport.Retry{}, false},
		{"Digest that says invalid_token", 401, []string{`Digest error="invalid_token"`}, transport.Retry{}, false},
		{"Bearer in the text of another", 401, []string{`Basic realm="x, Bearer error=invalid_token"`}, transport.Retry{}, false},
		{"invalid_client", 401, []string{`Bearer error="invalid_client"`}, transport.Retry{}, false},
		{"invalid_request", 401, []string{`Bearer error="invalid_request", DPoP algs="ES256"`}, transport.Retry{}, false},
		{"a proof of possession", 401, []string{`DPoP error="use_dpop_nonce"`}, transport.Retry{}, false},
		{"Basic, where a challenge is required", 401, []string{"Basic"}, transport.Retry{ChallengeRequired: true}, false},

		{"beside Bearer", 401, []string{"Negotiate", `Bearer realm="api"`}, transport.Retry{}, true},
		{"an old name of Bearer", 401, []string{"Token"}, transport.Retry{}, true},
		{"another one", 401, []string{`OAuth realm="api"`}, transport.Retry{}, true},
		{"beside invalid_token", 401, []string{`Basic realm="api", Bearer error="invalid_token"`}, transport.Retry{}, true},
	})
}

func TestRule018_stronger_login_starts_no_refresh(t *testing.T) {
	const reason = `error="insufficient_user_authentication"`
	for name, lines := range map[string][]string{
		"one line":  {`Bearer ` + reason + `, acr_values="urn:a urn:b", max_age="5"`},
		"unquoted":  {`bearer max_age=5, error=insufficient_user_authentication, acr_values="urn:a urn:b"`},
		"two lines": {`DPoP algs="ES256"`, `Bearer ACR_Values="urn:a urn:b" , Max_Age = 5 , ` + reason},
	} {
		t.Run(name, func(t *testing.T) {
			resp := trial{status: 401, lines: lines}.run(t)
			wantParam(t, resp, "error", "insufficient_user_authentication")
			wantParam(t, resp, "acr_values", "urn:a urn:b")
			wantParam(t, resp, "max_age", "5")
		})
	}
}

// What the parser makes of a field decides what follows a 401.
func TestRule019_challenge_parser(t *testing.T) {
	var retry transport.Retry
	runAll(t, []trial{
		{"the second line", 401, []string{`DPoP algs="ES256"`, `Bearer error="insufficient_scope"`}, retry, false},
		{"the second challenge", 401, []string{`DPoP algs="ES256", Bearer error="insufficient_scope"`}, retry, false},
		{"a token68", 401, []string{`Negotiate oYG2==, Bearer error="insufficient_scope"`}, retry, false},
		{"the second parameter", 401, []string{`Bearer realm="a", error="insufficient_scope"`}, retry, false},
		{"any case", 401, []string{`bEARER ERROR="insufficient_scope"`}, retry, false},
		{"no quotes", 401, []string{`Bearer error=insufficient_scope`}, retry, false},
		{"an escape", 401, []string{`Bearer realm="\"", error="insufficient\_scope"`}, retry, false},
		{"commas in quotes", 401, []string{`Bearer realm="a, b", error="insufficient_scope"`}, retry, false},
		{"a challenge in quotes", 401, []string{`Bearer realm="a, Bearer error=insufficient_scope"`}, retry, true},
		{"whitespace around =", 401, []string{"Bearer error \t= \"insufficient_scope\""}, retry, false},
		{"empty elements", 401, []string{`, ,Bearer , ,realm=a,, error="insufficient_scope" ,`}, retry, false},
		{"the same name twice", 401, []string{`Bearer error="insufficient_scope", error="invalid_request"`}, retry, true},
		{"an open quote", 401, []string{`Bearer error="insufficient_scope`}, retry, true},
		{"no commas", 401, []string{`Bearer realm="a" error="insufficient_scope"`}, retry, true},
		{"control characters", 401, []string{"Bearer realm=\"\x00\", error=\"insufficient_scope\""}, retry, true},
		{"strings without names", 401, []string{`OAuth "Platform" "invalid_token" "The token has expired."`}, retry, true},
		{"rubbish", 401, []string{"\xff\"\\,=;\x00", `="`, "\\", `"`}, retry, true},
		{"far too long", 401, []string{strings.Repeat(`Basic realm="a",`, 1<<16)}, retry, true},
	})
}
