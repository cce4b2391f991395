package tokenstore_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
)

const canary = "canary-7f3a"

// shows reports whether text gives the canary away, in any of the ways in which
// verbs write a string.
func shows(text string) bool {
	text = strings.ToLower(text)
	spaced := strings.TrimSpace(fmt.Sprintf("% x", canary))
	return strings.Contains(text, canary) ||
		strings.Contains(text, hex.EncodeToString([]byte(canary))) ||
		strings.Contains(text, spaced) ||
		strings.Contains(text, strings.ReplaceAll("0x"+spaced, " ", ", 0x")) ||
		strings.Contains(text, strings.Trim(fmt.Sprint([]byte(canary)), "[]"))
}

// leaky holds secrets in every way in which a struct can.
type leaky struct {
	Secret  tokenstore.Secret
	Pointer *tokenstore.Secret
	Record  tokenstore.Record
	Any     any

	secret  tokenstore.Secret
	pointer *tokenstore.Secret
	record  tokenstore.Record
	records []*tokenstore.Record
	list    []tokenstore.Secret
	byName  map[string]tokenstore.Secret
	bySelf  map[tokenstore.Secret]tokenstore.AccessToken
	any     any
	inner   struct{ tokenstore.Record }
}

// secrets returns the canary in every value that can hold it.
func secrets() map[string]any {
	s := tokenstore.NewSecret(canary)
	r := full()
	r.RefreshToken, r.IDToken, r.DPoPKey = s, s, s
	r.Access[0].Token = s
	r.Extra["x"] = tokenstore.NewSecret(`"` + canary + `"`)
	all := leaky{
		Secret: s, Pointer: &s, Record: r, Any: s,
		secret: s, pointer: &s, record: r, records: []*tokenstore.Record{&r}, list: []tokenstore.Secret{s},
		byName: map[string]tokenstore.Secret{"k": s}, bySelf: map[tokenstore.Secret]tokenstore.AccessToken{s: r.Access[0]},
		any: &s, inner: struct{ tokenstore.Record }{r},
	}
	return map[string]any{
		"Secret": s, "*Secret": &s, "Record": r, "*Record": &r, "AccessToken": r.Access[0], "Extra": r.Extra,
		"[]Secret": []tokenstore.Secret{s}, "map by Secret": map[tokenstore.Secret]int{s: 1},
		"leaky": all, "*leaky": &all, "[]any": []any{s, &r, all}, "map": map[string]any{"a": &all},
		"error": fmt.Errorf("because of %v and %s", s, r),
	}
}

const verbs = "vsqdxXbcoOUeEfFgGtp"

// Every verb says the same, and it is not the address of the secret.
func TestSecretsSameForEveryVerb(t *testing.T) {
	r := full()
	for v, want := range map[any]string{tokenstore.NewSecret(canary): "[redacted]", tokenstore.Secret{}: "[none]", &r: r.String()} {
		for _, verb := range strings.TrimSuffix(verbs, "p") { // the address of a pointer is no secret
			for _, flag := range []string{"", "+", "#"} {
				if got := fmt.Sprintf("%"+flag+string(verb), v); got != want {
					t.Errorf("%%%s%c prints %q, want %q", flag, verb, got, want)
				}
			}
		}
	}
}

func TestSecretsNotPrinted(t *testing.T) {
	for name, v := range secrets() {
		for _, verb := range verbs {
			for _, flags := range []string{"", "+", "#", " ", "0", "-20", ".40", "# "} {
				format := "%" + flags + string(verb)
				if got := fmt.Sprintf(format, v); shows(got) {
					t.Errorf("%s of %s prints the secret: %s", format, name, got)
				}
			}
		}
		if shows(fmt.Sprint(v)) || shows(fmt.Sprintln(v)) {
			t.Errorf("Sprint of %s prints the secret", name)
		}
	}
}

func TestSecretsNotLogged(t *testing.T) {
	var b bytes.Buffer
	handlers := map[string]slog.Handler{"text": slog.NewTextHandler(&b, nil), "JSON": slog.NewJSONHandler(&b, nil)}
	for kind, h := range handlers {
		for name, v := range secrets() {
			b.Reset()
			log := slog.New(h).With("with", v).WithGroup("group")
			log.Info("message", "attr", v, slog.Group("g", "deep", v, slog.Group("h", "deeper", v)), "any", []any{v})
			if b.Len() == 0 || shows(b.String()) {
				t.Errorf("slog's %s handler prints the secret of %s: %s", kind, name, &b)
			}
		}
	}
}

func TestSecretsNotEncoded(t *testing.T) {
	for name, v := range secrets() {
		var b bytes.Buffer
		jsonErr := json.NewEncoder(&b).Encode(v)
		gobErr := gob.NewEncoder(&b).Encode(v)
		xmlErr := xml.NewEncoder(&b).Encode(v)
		if out := fmt.Sprint(b.String(), jsonErr, gobErr, xmlErr); shows(out) {
			t.Errorf("an encoder prints the secret of %s: %s", name, out)
		}
		if name != "error" && (jsonErr == nil || gobErr == nil) {
			t.Errorf("%s is encoded without an error: json %v, gob %v", name, jsonErr, gobErr)
		}
	}
	err := json.Unmarshal([]byte(`{"Session":"`+canary+`"}`), new(tokenstore.Record))
	if err == nil || shows(err.Error()) {
		t.Errorf("json.Unmarshal of a Record = %v", err)
	}
	if _, err := json.Marshal(full()); err == nil || !strings.Contains(err.Error(), "Record.Encode") {
		t.Errorf("json.Marshal of a Record = %v, want an error that names Record.Encode", err)
	}
}

func TestSecret(t *testing.T) {
	var zero tokenstore.Secret
	a, b, c := tokenstore.NewSecret(canary), tokenstore.NewSecret(canary), tokenstore.NewSecret("other")
	switch {
	case !zero.IsZero() || zero.Reveal() != "" || !zero.Equal(tokenstore.NewSecret("")) || zero.String() != "[none]":
		t.Error("the zero Secret is not the empty one")
	case a.IsZero() || a.Reveal() != canary || a.String() != "[redacted]":
		t.Error("NewSecret does not keep the text")
	case !a.Equal(b) || a.Equal(c) || a.Equal(zero) || zero.Equal(a):
		t.Error("Equal does not compare the texts")
	case a.Fingerprint() != b.Fingerprint() || a.Fingerprint() == c.Fingerprint() || len(a.Fingerprint()) != 8 || zero.Fingerprint() != "none":
		t.Error("Fingerprint does not tell secrets apart")
	}
}
