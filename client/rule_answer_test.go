package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

func TestRule042_answers_are_read_by_content_type(t *testing.T) {
	const (
		object = `{"access_token":"at","token_type":"bearer","expires_in":60}`
		form   = "access_token=at&token_type=bearer&expires_in=60"
		page   = "<!DOCTYPE html><title>canary</title>"
	)
	for _, c := range []struct {
		contentType, body string
		ok                bool
	}{
		{"application/json", object, true},
		{"application/json", "\xef\xbb\xbf \r\n" + object + "\n", true},
		{"application/json; charset=utf-8", object, true},
		{"application/json;charset=ISO-8859-1", object, true},
		{`application/json; charset="`, object, true},
		{"APPLICATION/JSON", object, true},
		{"application/vnd.example+json", object, true},
		{"text/json", object, true},
		{"text/plain", object, true},
		{"text/plain; charset=us-ascii", object, true},
		{"", object, true},
		{"application/x-www-form-urlencoded", form, true},
		{"application/x-www-form-urlencoded; charset=utf-8", form, true},
		{"text/plain", form, true},
		{"", form, true},

		{"text/html", page, false},
		{"text/html; charset=utf-8", object, false},
		{"application/xhtml+xml", page, false},
		{"application/json", page, false},
		{"application/json", form, false},
		{"application/json", "", false},
		{"application/json", "[" + object + "]", false},
		{"application/json", object + object, false},
		{"application/json", object + "canary", false},
		{"application/json", object[:len(object)-1], false},
		{"application/x-www-form-urlencoded", object, false},
		{"application/x-www-form-urlencoded", form + "&x=%zz", false},
		{"text/plain", "canary", false},
		{"", page, false},
		{"application/octet-stream", object, false},
		{"image/png", "canary", false},
	} {
		t.Run(fmt.Sprintf("%s %.12s", c.contentType, c.body), func(t *testing.T) {
			f := newFixture(t)
			f.answer(200, c.contentType, c.body)
			tok, err := f.session.Token(t.Context())
			if accept := f.lastRequest(t).Header.Values("Accept"); len(accept) != 1 || accept[0] != "application/json" {
				t.Errorf("Accept %q", accept)
			}
			if c.ok {
				if err != nil || tok.Reveal() != "at" || tok.Expiry().IsZero() {
					t.Errorf("token %v, expiry %v, error %v", tok, tok.Expiry(), err)
				}
				return
			}
			var se *ServerError
			if !errors.As(err, &se) || se.Status != 200 {
				t.Errorf("error %v, want a ServerError with status 200", err)
			}
			if text := shown(err); strings.Contains(text, "canary") || strings.Contains(text, `"at"`) {
				t.Errorf("the error shows the body: %s", text)
			}
		})
	}
}

func TestRule043_what_an_answer_means_for_the_session(t *testing.T) {
	const (
		transient     = transport.Transient
		loginRequired = transport.LoginRequired
		misconfigured = transport.Misconfigured
	)
	for _, c := range []struct {
		status int
		body   string // an error code, or JSON; HTML if empty
		want   transport.Kind
	}{
		{400, "invalid_grant", loginRequired},
		{401, "invalid_grant", loginRequired},
		{403, "invalid_grant", loginRequired},
		{200, "invalid_grant", loginRequired},
		{200, "bad_refresh_token", loginRequired},
		{200, `{"ok":false,"error":"invalid_refresh_token"}`, loginRequired},
		{200, `{"access_token":"at","token_type":"Bearer","error":"invalid_grant"}`, loginRequired},
		{400, `{"status":"BAD_REFRESH_TOKEN","message":"x"}`, loginRequired},
		{401, `{"error":{"code":"refresh_token_reused","message":"x"}}`, loginRequired},
		{400, "interaction_required", loginRequired},
		{500, "invalid_grant", transient},
		{502, "invalid_grant", transient},
		{503, "invalid_grant", transient},
		{429, "invalid_grant", transient},
		{408, "invalid_grant", transient},
		{404, "invalid_grant", transient},
		{302, "invalid_grant", transient},
		{400, "Invalid_Grant", transient},
		{400, `{"Error":"invalid_grant"}`, transient},
		{400, `{"error":"invalid_grant","error":"invalid_grant"}`, transient},
		{400, `{"error":"invalid_grant"`, transient},
		{400, "invalid_client", misconfigured},
		{401, "invalid_client", misconfigured},
		{400, "unauthorized_client", misconfigured},
		{400, "unsupported_grant_type", misconfigured},
		{400, "invalid_scope", misconfigured},
		{400, "invalid_target", misconfigured},
		{500, "invalid_client", transient},
		{400, "invalid_request", transient},
		{400, "temporarily_unavailable", transient},
		{400, "server_error", transient},
		{400, "slow_down", transient},
		{400, "something_new", transient},
		{200, "server_error", transient},
		{200, `{"error":true}`, transient},
		{200, `{"error":["invalid_grant"]}`, transient},
		{200, `{}`, transient},
		{400, `{}`, transient},
		{401, `{}`, transient},
		{403, `{"message":"Forbidden"}`, transient},
		{200, "", transient},
		{400, "", transient},
		{401, "", transient},
		{403, "", transient},
		{404, "", transient},
		{429, "", transient},
		{500, "", transient},
		{502, "", transient},
		{503, "", transient},
		{504, "", transient},
		{599, "", transient},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.body), func(t *testing.T) {
			f := newFixture(t)
			switch {
			case c.body == "":
				f.answer(c.status, "text/html", `{"error":"invalid_grant"}`) // firewalls and portals
			case c.body[0] == '{':
				f.answer(c.status, "application/json", c.body)
			default:
				f.answer(c.status, "application/json", `{"error":"`+c.body+`"}`)
			}
			re := f.fail(t)
			if re.Kind != c.want || errors.Is(re, ErrLoginRequired) != (c.want == loginRequired) {
				t.Errorf("kind %v, want %v", re.Kind, c.want)
			}
			if doubtful := c.body == "invalid_request"; re.Doubtful != doubtful {
				t.Errorf("doubtful %t, want %t", re.Doubtful, doubtful)
			}
			if got := f.record(t).RefreshToken.Reveal(); got != f.seed {
				t.Error("the stored refresh token has changed")
			}
		})
	}
	t.Run("timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.Inject(testserver.OnToken, 1, testserver.Hang())
			if re := f.fail(t); re.Kind != transient || !re.OutcomeUnknown {
				t.Errorf("error %v of kind %v, outcome unknown %t", re, re.Kind, re.OutcomeUnknown)
			}
		})
	})
}

func TestRule044_only_exact_member_names_count_and_none_twice(t *testing.T) {
	for _, body := range []string{
		`{"Access_Token":"at"}`,
		`{"ACCESS_TOKEN":"at"}`,
		`{"acceſſ_token":"at"}`,
		`{"acce\u017f\u017f_token":"at"}`,
		`{"access_toKen":"at"}`, // KELVIN SIGN
		`{"access_token\u0000":"at"}`,
		`{"access_token ":"at"}`,
		`{"accesstoken":"at"}`,
		`{"access_token":"at","access_token":"at"}`,
		`{"access_token":"evil","access_token":"at"}`,
		`{"access_token":"at","access\u005ftoken":"at"}`,
		`{"access_token":"at","scope":"a","scope":"b"}`,
		`{"access_token":"at","x":1,"x":1}`,
		`{"access_token":["at"]}`,
		`{"access_token":{"access_token":"at"}}`,
		`{"access_token":null}`,
		`{"access_token":12}`,
		`{'access_token':'at'}`,
		`{"access_token":"at",}`,
		`{"access_token":"at"/**/}`,
		`{access_token:"at"}`,
		"{\"access_token\":\"at\"}\x00",
		`{"access_token":"at"}}`,
		`{"access_token":"at" "x":1}`,
		`{"access_token" "at"}`,
		`{"access_token":"at","x":nul}`,
		`{"access_token":"at","x":01}`,
		`{"access_token":"at","x":"` + "\n" + `"}`,
		`{"access_token":"at","x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
	} {
		f := newFixture(t)
		f.answer(200, "application/json", body)
		if tok, err := f.session.Token(t.Context()); err == nil {
			t.Errorf("%.60s was taken for %q", body, tok.Reveal())
		}
	}
	for _, body := range []string{
		`{"access\u005ftoken":"\u0061t"}`,
		`{"Access_Token":"evil","access_token":"at","ACCESS_TOKEN":"evil"}`,
		`{"access_token":"at","x":{"access_token":"evil"}}`,
		`{"access_token":"at","x":{"y":1,"y":2}}`,
		`{"":0,"access_token":"at"}`,
	} {
		f := newFixture(t)
		f.answer(200, "application/json", body)
		if tok, err := f.session.Token(t.Context()); err != nil || tok.Reveal() != "at" {
			t.Errorf("%s was taken for %q: %v", body, tok.Reveal(), err)
		}
	}
}
