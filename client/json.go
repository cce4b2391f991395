package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
)

var (
	errNotObject = errors.New("the answer is not one JSON object")
	errDuplicate = errors.New("the answer has a member twice")
	errNotForm   = errors.New("the answer is not a form")
)

// members is what an answer says, as JSON under exact names.
type members map[string]json.RawMessage

// readJSON returns the members of the object that is text (RFC 8259 §4), by
// their exact names: encoding/json would take "Access_Token" and "acceſſ_token"
// too, and the last of several. A name that comes twice has no value, and is an
// error.
//
// With an error come the members that were read before it: a refresh token may be
// among them, and there is no second one.
func readJSON(text []byte) (members, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // RFC 8259 §8.1
	var fault error
	if !json.Valid(text) {
		fault = errNotObject
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotObject
	}
	ms := make(members)
	seen := make(map[string]bool)
	for dec.More() {
		var value json.RawMessage
		t, _ := dec.Token()
		name, ok := t.(string)
		if !ok || dec.Decode(&value) != nil {
			return ms, errNotObject
		}
		if seen[name] {
			delete(ms, name)
			fault = errDuplicate
		} else {
			seen[name] = true
			ms[name] = value
		}
	}
	return ms, fault
}

// readForm returns the members of a form, as strings. A few servers answer with
// forms, as drafts of OAuth 2.0 had it.
func readForm(text []byte) (members, error) {
	form, err := url.ParseQuery(strings.TrimSpace(string(text)))
	if !form.Has("access_token") && !form.Has("refresh_token") && !form.Has("error") {
		return nil, errNotForm
	}
	ms := make(members, len(form))
	for name, values := range form {
		if len(values) > 1 {
			err = errDuplicate
			continue
		}
		ms[name], _ = json.Marshal(values[0])
	}
	if err != nil && err != errDuplicate {
		err = errNotForm // the text of err quotes it
	}
	return ms, err
}

// text returns the member of that name if it is a string.
func (ms members) text(name string) (string, bool) {
	var s *string
	err := json.Unmarshal(ms[name], &s)
	if err != nil || s == nil {
		return "", false
	}
	return *s, true
}

// absent reports whether there is nothing under name: no member, null or "".
func (ms members) absent(name string) bool {
	raw := ms[name]
	return len(raw) == 0 || string(raw) == "null" || string(raw) == `""`
}
