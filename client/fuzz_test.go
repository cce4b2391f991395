package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// FuzzAnswer gives the endpoint any answer. It never panics; errors show nothing
// of the body but what is meant to be shown; a refresh token that can be read is
// in the record, come what may; and what is read is what encoding/json reads.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"at","token_type":"Bearer","expires_in":3600,"refresh_token":"rt","scope":"a b","x":{"y":[1,null]}}`,
		`{"access_token":"at","token_type":"N_A","expires_in":"1e30","refresh_expires_in":0,"scope":["a","b"],"id_token":"e.y.J"}`,
		`{"refresh_token":"rt","access_token":null,"scope":"a","scope":"b"}`,
		`{"Access_Token":"at","acceſſ_token":"at","access_token\u0000":"at","access\u005ftoken":"at"}`,
		`{"error":"invalid_grant","error_description":"\u001b[2J\u202e","error_uri":"https://x"}`,
		`{"error":{"code":"refresh_token_reused"}}`,
		`{"status":"BAD_REFRESH_TOKEN"}`,
		`{"refresh_token":"rt","access_token":"a`,
		`{"access_token":"at"}{}`,
		`[{"access_token":"at"}]`,
		"\xef\xbb\xbf{}",
		`{"a":1,}`, `{"a" 1}`, `{1:2}`, `{"a":}`, `{`, ``, `nul`, "\x00",
		`{"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `,"refresh_token":"rt"}`,
		"access_token=at&refresh_token=rt&expires_in=60&x=%zz",
		"error=invalid_grant&error_description=no",
		"<html>canary</html>",
	} {
		for _, contentType := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded", "text/html", ""} {
			f.Add(contentType, 200, []byte(body))
			f.Add(contentType, 400, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, contentType string, status int, body []byte) {
		if status < 200 || status > 599 || len(body) > 1<<16 {
			t.Skip()
		}
		const canary = "Kq7ZcanaryZq7K"
		e := testEndpoint(roundTrip(func(req *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, req.Body)
			return &http.Response{
				StatusCode: status, Header: http.Header{"Content-Type": {contentType}},
				Body: io.NopCloser(bytes.NewReader(body)), Request: req,
			}, nil
		}), public)
		old := refreshable("old-token")
		before := time.Now()
		rec, err := e.refresh(t.Context(), old, "")
		checkAnswerRecord(t, status, body, rec, err, before)
		if err != nil {
			checkAnswerError(t, body, err)
		}
		checkAgainstReference(t, body)

		resp := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}}}
		a := readAnswer(resp, append([]byte(canary), body...), nil)
		if _, err := e.record(a, old, "", ""); err != nil && strings.Contains(shown(err), canary) {
			t.Errorf("the error shows the body: %v", err)
		}
	})
}

// checkAnswerRecord checks what became of an answer.
func checkAnswerRecord(t *testing.T, status int, body []byte, rec tokenstore.Record, err error, before time.Time) {
	var ref struct {
		New any `json:"refresh_token"`
	}
	keys := make(map[string]json.RawMessage)
	json.Unmarshal(body, &keys)
	json.Unmarshal(keys["refresh_token"], &ref.New)
	token, _ := ref.New.(string)
	readable := status/100 == 2 && token != "" && tokenstore.CheckToken(token) == nil &&
		strings.Count(strings.ReplaceAll(string(body), `\`, "refresh_token"), "refresh_token") == 1
	if readable && rec.RefreshToken.Reveal() != token {
		t.Errorf("refresh token %q of a well-formed answer is lost", token)
	}
	if err == nil {
		at, ok := rec.Token("")
		if !ok || at.Token.IsZero() || tokenstore.CheckToken(at.Token.Reveal()) != nil || rec.RefreshToken.IsZero() {
			t.Errorf("a record without usable tokens and no error")
		}
		if !at.Expiry.IsZero() && (at.Expiry.Before(before.Round(0)) || at.Expiry.After(time.Now().Add(maxLifetime))) {
			t.Errorf("expiry %v", at.Expiry)
		}
	}
	if rec.RefreshToken.IsZero() {
		return
	}
	rec.Session = tokenstore.NewSessionID("")
	b, encErr := rec.Encode()
	if encErr != nil {
		t.Fatalf("the record can't be kept: %v", encErr)
	}
	if _, err := tokenstore.DecodeRecord(b); err != nil {
		t.Errorf("the record can't be read again: %v", err)
	}
}

// checkAnswerError checks the error of an answer.
func checkAnswerError(t *testing.T, body []byte, err error) {
	var re *transport.RefreshError
	if !errors.As(err, &re) {
		t.Fatalf("error %v (%T), want a RefreshError", err, err)
	}
	if text := re.Error(); strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 || len(text) > 1000 {
		t.Errorf("the error is not fit to be shown: %q", text)
	}
	var se *ServerError
	if !errors.As(err, &se) {
		t.Fatalf("error %v, want a ServerError", err)
	}
	if re.Kind == transport.LoginRequired && (se.Code == "" || se.Status >= 500) {
		t.Errorf("status %d and code %q end a session", se.Status, se.Code)
	}
}

// checkAgainstReference compares the members with those of encoding/json, which
// knows exact names where it decodes into a map.
func checkAgainstReference(t *testing.T, body []byte) {
	var ref map[string]json.RawMessage
	refErr := json.Unmarshal(body, &ref)
	got, err := readJSON(body)
	switch {
	case errors.Is(err, errDuplicate):
		return // the reference takes the last
	case (err == nil) != (refErr == nil && ref != nil) && !bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		t.Errorf("error %v, reference %v", err, refErr)
	case err == nil && refErr == nil:
		if len(got) != len(ref) {
			t.Errorf("%d members, reference %d", len(got), len(ref))
		}
		for name, value := range ref {
			if !bytes.Equal(got[name], value) {
				t.Errorf("member %q is %s, reference %s", name, got[name], value)
			}
		}
	}
}
