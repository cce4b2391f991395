package testserver

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// members are those of an answer: JSON text by name.
type members map[string]string

func (m members) text(name, value string) {
	if value != "" {
		m[name] = quote(value)
	}
}

func quote(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// answer returns the successful answer to a token request (RFC 6749 §5.1), with
// what [Policy].Members makes of it.
func (p *Policy) answer(now time.Time, g granted) members {
	m := members{"expires_in": seconds(p.accessLifetime())}
	m.text("access_token", g.access)
	m.text("token_type", p.tokenType(g.bound))
	m.text("scope", g.scope)
	m.text("id_token", g.idToken)
	m.refreshToken(g)
	if p.ExpiresAt {
		m["expires_at"] = strconv.FormatInt(g.expires.Unix(), 10)
	}
	m.text("issued_token_type", g.issuedType)
	m.change(p.Members)
	return m
}

func (m members) refreshToken(g granted) {
	switch g.rotated {
	case KeepOmitted:
	case KeepEmpty:
		m["refresh_token"] = `""`
	case KeepNull:
		m["refresh_token"] = "null"
	default:
		m.text("refresh_token", g.refresh)
	}
}

// seconds is whole, as servers say it, unless that would be none.
func seconds(d time.Duration) string {
	if d > -time.Second && d < time.Second {
		return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
	}
	return strconv.FormatInt(int64(d/time.Second), 10)
}

func (e *oauthError) members() members {
	m := members{}
	m.text("error", e.code)
	m.text("error_description", e.description)
	return m
}

// writeAnswer answers a token request (RFC 6749 §5.1).
func writeAnswer(w http.ResponseWriter, p *Policy, status int, m members) {
	h := w.Header()
	h.Set("Content-Type", jsonType)
	body := m.json()
	if p.FormEncoded {
		h.Set("Content-Type", formType)
		body = m.form()
	}
	switch p.ContentType {
	case "":
	case Omit:
		h["Content-Type"] = nil // nothing, and no sniffing
	default:
		h.Set("Content-Type", p.ContentType)
	}
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body)
}

// json puts the members together as they are, valid or not.
func (m members) json() []byte {
	var b bytes.Buffer
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote(name) + ":" + m[name])
	}
	return []byte("{" + b.String() + "}")
}

func (m members) form() []byte {
	form := url.Values{}
	for name, value := range m {
		var text string
		if json.Unmarshal([]byte(value), &text) != nil {
			text = value
		}
		form.Set(name, text)
	}
	return []byte(form.Encode())
}
