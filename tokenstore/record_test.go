package tokenstore_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

var update = flag.Bool("update", false, "write the golden file of the current format version")

// full is a record with every field set.
func full() tokenstore.Record {
	at := time.Date(2026, 3, 1, 12, 30, 15, 0, time.UTC)
	return tokenstore.Record{
		Issuer: "https://as.example.com", ClientID: "my-app", Account: "zoë@example.com",
		Session: "0000019ca8d1d0d8" + "00112233aabbccdd", Generation: 7, Ended: true,
		RefreshToken: tokenstore.NewSecret("rt-7~<&>"), RefreshExpiry: at.AddDate(0, 0, 30),
		IDToken: tokenstore.NewSecret("h.p.s"), Scope: "read write",
		Access: []tokenstore.AccessToken{
			{Token: tokenstore.NewSecret("at-7"), Type: "Bearer", Issued: at, Expiry: at.Add(time.Hour), Scope: "read", Generation: 7},
			{Target: "https://api.example.com/v2", Token: tokenstore.NewSecret("at-6"), Type: "DPoP", Issued: at, Expiry: at.Add(time.Minute), Scope: "write", Generation: 6},
		},
		Extra: map[string]tokenstore.Secret{
			"device_secret": tokenstore.NewSecret(`"ds"`),
			"list":          tokenstore.NewSecret(`[1,{"a":null}]`),
		},
		DPoPKey: tokenstore.NewSecret("key"), Seed: "seed",
	}
}

// The golden file is read for ever: when the format changes, it stays and gets a
// sibling.
func TestRecordGolden(t *testing.T) {
	const file = "testdata/record_v1.json"
	want := full()
	for _, v := range []reflect.Value{reflect.ValueOf(want), reflect.ValueOf(want.Access[1])} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("the golden record has no %s", v.Type().Field(i).Name)
			}
		}
	}
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tokenstore.DecodeRecord(golden)
	if err != nil {
		t.Fatalf("DecodeRecord(%s): %v", file, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is not the record that it was made of", file)
	}
	if !bytes.Equal(b, golden) {
		t.Errorf("Encode = %s, want as in %s", b, file)
	}
	if again, err := got.Encode(); err != nil || !bytes.Equal(again, golden) {
		t.Errorf("decoded and encoded again: %s, %v, want as in %s", again, err, file)
	}
}

func TestRecordEncodeErrors(t *testing.T) {
	tests := []struct {
		name   string
		change func(*tokenstore.Record)
		want   string
	}{
		{"no session", func(r *tokenstore.Record) { r.Session = "" }, "session"},
		{"bad session", func(r *tokenstore.Record) { r.Session = strings.Repeat("F", 32) }, "session"},
		{"generation", func(r *tokenstore.Record) { r.Generation = 1 << 63 }, "generation"},
		{"refresh token", func(r *tokenstore.Record) { r.RefreshToken = tokenstore.NewSecret("canary\n") }, "refresh token"},
		{"access token", func(r *tokenstore.Record) { r.Access[1].Token = tokenstore.NewSecret("canary x") }, "access token"},
		{"extra", func(r *tokenstore.Record) { r.Extra["x"] = tokenstore.NewSecret("canary") }, "Extra"},
		{"too large", func(r *tokenstore.Record) { r.Scope = strings.Repeat("s", tokenstore.MaxRecord) }, "too large"},
	}
	for _, tt := range tests {
		r := full()
		tt.change(&r)
		b, err := r.Encode()
		if b != nil || err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: Encode = %d bytes, %v", tt.name, len(b), err)
		}
	}
	r := full()
	r.Scope = strings.Repeat("s", tokenstore.MaxRecord)
	if _, err := r.Encode(); !errors.Is(err, tokenstore.ErrTooLarge) {
		t.Errorf("Encode = %v, want ErrTooLarge", err)
	}
}

func TestDecodeRecordErrors(t *testing.T) {
	good, err := full().Encode()
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	tests := map[string][]byte{
		"empty":           {},
		"null":            []byte("null"),
		"no object":       []byte(`"canary"`),
		"trailing":        append(bytes.Clone(good), "{}"...),
		"trailing NULs":   append(bytes.Clone(good), 0, 0),
		"next version":    edit(`"v":1`, `"v":2`),
		"no version":      edit(`"v":1,`, ``),
		"unknown member":  edit(`"v":1`, `"v":1,"canary":1`),
		"no session":      edit(`"session"`, `"seed"`),
		"bad token":       edit(`at-7`, `canary \n`),
		"same target":     edit(`"target":"https://api.example.com/v2",`, ``),
		"negative":        edit(`"generation":7`, `"generation":-7`),
		"huge generation": edit(`"generation":7`, `"generation":18446744073709551615`),
		"no time":         edit(`2026-03-31T`, `canary`),
		"too large":       append(bytes.Clone(good), bytes.Repeat([]byte(" "), tokenstore.MaxRecord)...),
	}
	for i := range len(good) {
		tests[fmt.Sprintf("cut to %d", i)] = good[:i]
	}
	for name, b := range tests {
		r, err := tokenstore.DecodeRecord(b)
		if !errors.Is(err, tokenstore.ErrCorrupt) || r.Exists() || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: DecodeRecord = %v, %v; want ErrCorrupt", name, r, err)
		}
	}
}

func TestRecordNewer(t *testing.T) {
	first := tokenstore.NewSessionID("")
	second := tokenstore.NewSessionID(first)
	record := func(session string, ended bool, generation uint64) tokenstore.Record {
		return tokenstore.Record{Session: session, Ended: ended, Generation: generation}
	}
	ascending := []tokenstore.Record{
		{}, record(first, false, 0), record(first, false, 1), record(first, true, 0), record(first, true, 2),
		record(second, false, 0), record(second, true, 0),
	}
	for i := range ascending {
		for j := range ascending {
			if got, want := ascending[i].Newer(&ascending[j]), i > j; got != want {
				t.Errorf("%d newer than %d = %t, want %t", i, j, got, want)
			}
		}
	}
}

func TestNewSessionID(t *testing.T) {
	const tomorrow = "0000fffffffffff0" + "ffffffffffffffff" // a clock that went wrong
	id := tomorrow
	for range 1000 {
		next := tokenstore.NewSessionID(id)
		if next <= id || len(next) != len(id) {
			t.Fatalf("NewSessionID(%q) = %q", id, next)
		}
		id = next
	}
	now := fmt.Sprintf("%016x", time.Now().UnixMilli())
	for _, after := range []string{"", "not an id", strings.Repeat("0", 32)} {
		if got := tokenstore.NewSessionID(after); got < now {
			t.Errorf("NewSessionID(%q) = %q, before now (%s)", after, got, now)
		}
	}
	if a, b := tokenstore.NewSessionID(""), tokenstore.NewSessionID(""); a == b {
		t.Error("two logins have the same id")
	}
}

func TestRecordClone(t *testing.T) {
	r := full()
	c := r.Clone()
	c.SetToken(tokenstore.AccessToken{Target: "another"})
	c.SetToken(tokenstore.AccessToken{Scope: "changed"})
	c.Extra["new"] = tokenstore.NewSecret("1")
	if !reflect.DeepEqual(r, full()) {
		t.Error("a change of a clone changes the record")
	}
	if got, ok := c.Token("another"); !ok || got.Target != "another" {
		t.Errorf("Token = %v, %t", got, ok)
	}
	if _, ok := c.Token("none"); ok {
		t.Error("Token finds what is not there")
	}
}
