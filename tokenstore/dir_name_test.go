//go:build unix || windows

package tokenstore

import (
	"strings"
	"testing"
)

func TestBaseName(t *testing.T) {
	tests := []struct{ key, want string }{
		{"alice@example.com", "alice@example.com"},
		{"Alice", "%41lice"},
		{"../x", "%2e.%2fx"},
		{".", "%2e"},
		{"a..", "a.."},
		{"-rf", "%2drf"},
		{"a%b", "a%25b"},
		{"a%2fb", "a%252fb"},
		{"con", "%63on"},
		{"nul.txt", "%6eul.txt"},
		{"CON", "%43%4f%4e"},
		{"#1", "%231"},
		{"https://as.example/|me", "https%3a%2f%2fas.example%2f%7cme"},
		{strings.Repeat("a", 200), strings.Repeat("a", 200)},
	}
	for _, tt := range tests {
		got := baseName(tt.key)
		if got != tt.want {
			t.Errorf("baseName(%q) = %q, want %q", tt.key, got, tt.want)
		}
		if key := spelledKey(got); key != tt.key {
			t.Errorf("spelledKey(%q) = %q, want %q", got, key, tt.key)
		}
	}
}

func TestBaseNameHashed(t *testing.T) {
	for _, key := range []string{strings.Repeat("a", 201), strings.Repeat("A", 67), strings.Repeat("~", 255)} {
		if got := baseName(key); len(got) != 65 || got[0] != '#' {
			t.Errorf("baseName(%q) = %q, want # and a hash", key, got)
		}
	}
}

func TestSpelledKeyForeign(t *testing.T) {
	for _, base := range []string{"", "Alice", "%41LICE", "%2E", "a b", "%61", "%zz", "#", ".hidden", "con", "a%20b"} {
		if key := spelledKey(base); key != "" {
			t.Errorf("spelledKey(%q) = %q, want none: no key has that name", base, key)
		}
	}
}

// FuzzBaseName checks that different keys have different files, safe ones, in
// the directory itself, on every file system.
func FuzzBaseName(f *testing.F) {
	for _, key := range []string{"a", "A", "../../etc/passwd", "con", "CON.txt", "a.", "..", "%41", "#", strings.Repeat("A", 255), strings.Repeat("a", 255)} {
		f.Add(key, key+"x")
		f.Add(key, strings.ToLower(key))
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if CheckKey(a) != nil || CheckKey(b) != nil {
			return
		}
		name := baseName(a)
		if a != b && strings.EqualFold(name, baseName(b)) {
			t.Errorf("%q and %q are both %q", a, b, name)
		}
		if strings.ToLower(name) != name || len(name) > maxBase || strings.ContainsAny(name, `/\:*?"<>|~ `) {
			t.Errorf("%q has the unsafe name %q", a, name)
		}
		if strings.ContainsAny(name[:1], ".-") || namesDevice(name) {
			t.Errorf("%q has the name %q, which means something else", a, name)
		}
		if key := spelledKey(name); name[:1] != hashed && key != a {
			t.Errorf("spelledKey(%q) = %q, want %q", name, key, a)
		}
	})
}
