package client

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/transport"
)

// otherTypes are values of all types that JSON has, none of them a token.
var otherTypes = map[string]string{
	"null": `null`, "true": `true`, "false": `false`, "0": `0`, "-1": `-1`, "1.5": `1.5`, "1e999999999": `1e999999999`,
	"empty": `""`, "array": `[]`, "object": `{}`, "nested": `{"access_token":"evil","refresh_token":"evil"}`, "listed": `["evil"]`,
	"deep": strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "control": `"evil\u0000"`, "space": `"evil evil"`,
	"invalid UTF-8": "\"evil\xff\"", "half a surrogate": `"evil\udc00"`, "long": `"evil ` + strings.Repeat("x", 64<<10) + `"`,
}

// Whatever stands in the members of an answer, the session holds the new refresh
// token if there is one that can be read, and the old one if not.
func TestAnswer_members_of_every_type(t *testing.T) {
	members := []string{
		"access_token", "refresh_token", "token_type", "expires_in", "scope", "id_token", "error", "error_description",
		"error_uri", "refresh_token_expires_in", "refresh_expires_in", "status", "ok", "x",
	}
	for _, status := range []int{200, 400, 500} {
		for _, member := range members {
			for name, value := range otherTypes {
				t.Run(fmt.Sprint(status, " ", member, " ", name), func(t *testing.T) {
					checkMembers(t, status, map[string]string{member: value})
				})
			}
		}
	}
	for name, value := range otherTypes {
		for other, extra := range otherTypes {
			t.Run(fmt.Sprintf("access_token %s, refresh_token %s", name, other), func(t *testing.T) {
				checkMembers(t, 200, map[string]string{"access_token": value, "refresh_token": extra})
			})
		}
	}
}

// checkMembers checks what comes of an answer that would be good without wrong.
func checkMembers(t *testing.T, status int, wrong map[string]string) {
	good := map[string]string{"access_token": `"at"`, "refresh_token": `"new"`, "token_type": `"Bearer"`}
	maps.Copy(good, wrong)
	list := []string{}
	for name, value := range good {
		list = append(list, fmt.Sprintf("%q:%s", name, value))
	}
	f := newFixture(t)
	f.answer(status, "application/json", "{"+strings.Join(list, ",")+"}")
	tok, err := f.session.Token(t.Context())
	want := f.seed
	if status == 200 && wrong["refresh_token"] == "" {
		want = "new"
	}
	if got := f.record(t).RefreshToken.Reveal(); got != want {
		t.Errorf("the store holds the refresh token %.20q, want %.20q", got, want)
	}
	if err == nil {
		if tok.Reveal() != "at" || status != 200 {
			t.Errorf("status %d brought the token %.20q", status, tok.Reveal())
		}
		return
	}
	required := wrong["access_token"] + wrong["token_type"] + wrong["error"]
	if status == 200 && required == "" {
		t.Errorf("an optional member made the refresh fail: %v", err)
	}
	var re *transport.RefreshError
	if !errors.As(err, &re) || re.Kind == transport.LoginRequired {
		t.Errorf("error %v (%T), want a RefreshError that does not end the session", err, err)
	}
	said := wrong["error"] + wrong["error_description"] + wrong["error_uri"] + wrong["status"]
	text := err.Error()
	if said == "" && strings.Contains(shown(err), "evil") || printable(text) != text || len(text) > 1000 {
		t.Errorf("the error is not fit to be shown: %.300q", shown(err))
	}
}
