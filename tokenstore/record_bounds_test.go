package tokenstore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
)

// What a store may have to keep is bounded to the byte.
func TestRecordSize(t *testing.T) {
	r := full()
	r.Scope = ""
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const most = tokenstore.MaxRecord - 128
	room := most - len(b) - len(`"scope":"",`)
	r.Scope = strings.Repeat("s", room)
	if b, err = r.Encode(); err != nil || len(b) != most {
		t.Errorf("Encode = %d bytes, %v; want %d", len(b), err, most)
	}
	r.Scope += "s"
	if _, err := r.Encode(); !errors.Is(err, tokenstore.ErrTooLarge) {
		t.Errorf("one byte more: %v, want ErrTooLarge", err)
	}
	b = append(b, strings.Repeat(" ", tokenstore.MaxRecord-len(b))...)
	if _, err := tokenstore.DecodeRecord(b); err != nil {
		t.Errorf("DecodeRecord of %d bytes = %v", len(b), err)
	}
	if _, err := tokenstore.DecodeRecord(append(b, ' ')); !errors.Is(err, tokenstore.ErrCorrupt) {
		t.Errorf("one byte more: %v, want ErrCorrupt", err)
	}
}

// A record is refused when it is written, and not only when it is read.
func TestRecordValues(t *testing.T) {
	for name, change := range map[string]func(*tokenstore.Record){
		"the highest generation": func(r *tokenstore.Record) { r.Generation = 1 << 62 },
		"the latest session":     func(r *tokenstore.Record) { r.Session = "3fffffffffffffff" + "ffffffffffffffff" },
	} {
		r := full()
		change(&r)
		if _, err := r.Encode(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*tokenstore.Record){
		"generation too high":    func(r *tokenstore.Record) { r.Generation = 1<<62 + 1 },
		"session too late":       func(r *tokenstore.Record) { r.Session = "4000000000000000" + "0000000000000000" },
		"session with letters":   func(r *tokenstore.Record) { r.Session = "0000019ca8d1d0d8" + "ghijklmnopqrstuv" },
		"session too short":      func(r *tokenstore.Record) { r.Session = r.Session[1:] },
		"one target twice":       func(r *tokenstore.Record) { r.Access[1].Target = r.Access[0].Target },
		"target that is no text": func(r *tokenstore.Record) { r.Access[1].Target = "\xff" },
	} {
		r := full()
		change(&r)
		if b, err := r.Encode(); err == nil {
			t.Errorf("%s: encoded as %s", name, b)
		}
	}
}

func TestRecordSetToken(t *testing.T) {
	var r tokenstore.Record
	for _, target := range []string{"c", "a", "", "b", "a"} {
		r.SetToken(tokenstore.AccessToken{Target: target, Token: tokenstore.NewSecret("first")})
	}
	r.SetToken(tokenstore.AccessToken{Target: "a", Token: tokenstore.NewSecret("second")})
	r.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret("second")})
	var got []string
	for _, a := range r.Access {
		got = append(got, a.Target+":"+a.Token.Reveal())
	}
	if want := []string{":second", "a:second", "b:first", "c:first"}; !slices.Equal(got, want) {
		t.Errorf("tokens %q, want %q", got, want)
	}
	c := r.Clone()
	c.SetToken(tokenstore.AccessToken{Target: "b"})
	if b, _ := r.Token("b"); b.Token.Reveal() != "first" {
		t.Error("a token that is replaced in a clone is replaced in the record")
	}
}

func TestRecordString(t *testing.T) {
	r := full()
	const want = `record(account "zoë@example.com" at "https://as.example.com", session 00112233, generation 7, ended true, refresh token `
	for _, got := range []string{r.String(), r.LogValue().String()} {
		if !strings.HasPrefix(got, want+r.RefreshToken.Fingerprint()+", 2 access tokens)") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if !r.Exists() {
		t.Error("a full record does not exist")
	}
	if got := (tokenstore.Record{}).String(); got != "record(none)" {
		t.Errorf("the zero Record prints as %s", got)
	}
	r.Session = "short" // by hand; it is no reason to panic
	if got := r.String(); !strings.Contains(got, "session ,") {
		t.Errorf("got %s", got)
	}
}
