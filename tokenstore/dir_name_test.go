//go:build unix || windows

package tokenstore

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

func TestRule079_different_keys_have_different_safe_files(t *testing.T) {
	t.Run("spelled", testBaseName)
	t.Run("each character", testBaseNameOfEach)
	t.Run("hashed", testBaseNameHashed)
	t.Run("foreign", testSpelledKeyForeign)
	t.Run("hostile", func(t *testing.T) {
		for _, a := range hostileKeys {
			for _, b := range hostileKeys {
				checkNames(t, a, b)
			}
		}
	})
	t.Run("random", func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		for range 5_000 {
			a := randomKey(random)
			checkNames(t, a, randomKey(random))
			checkNames(t, a, altered(random, a))
		}
	})
}

// hostileKeys would be another's file, a device or a file elsewhere, if they were
// file names.
var hostileKeys = []string{
	"a", "A", "a.", "a..", ".", "..", "../a", "../../etc/passwd", "/etc/passwd", `..\a`, `c:\a`, "c:a", "a/b", "a//b", "a/./b", `\\host\share`,
	"con", "CON", "con.txt", "Con.", "nul", "prn", "aux", "com1", "lpt9", "conin$", "%41", "%61", "%", "%%", "%2e%2e", "#", "#1", "~", "~root", "-rf", "*", "?",
	"k.json", "k.lock", "k.tmp", "k", "K", ".hidden", "a:stream", "a.json.", "$HOME", "`id`", `"`, "'", "|", ">", "&", ";",
	strings.Repeat("a", 200), strings.Repeat("a", 201), strings.Repeat("a", 255), strings.Repeat("A", 255), strings.Repeat("../", 85), strings.Repeat("%", 66), strings.Repeat("%", 67),
}

// randomKey returns a key, of few different characters, so that many are alike.
func randomKey(random *rand.Rand) string {
	const some = `aAbB%/\.:#-~41e2`
	b := make([]byte, 1+random.IntN([]int{3, 8, 80, 255}[random.IntN(4)]))
	for i := range b {
		b[i] = some[random.IntN(len(some))]
		if random.IntN(8) == 0 {
			b[i] = byte('!' + random.IntN('~'-'!'+1))
		}
	}
	return string(b)
}

// altered returns a key that differs little from key, or not at all.
func altered(random *rand.Rand, key string) string {
	switch i := random.IntN(len(key)); random.IntN(5) {
	case 0:
		return strings.ToLower(key)
	case 1:
		return strings.ToUpper(key)
	case 2:
		return baseName(key)[:min(255, len(baseName(key)))]
	case 3:
		return key[:i] + string(key[i]^0x20) + key[i+1:]
	default:
		return key[:i] + key[min(i+1, len(key)):]
	}
}

func testBaseName(t *testing.T) {
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

// The names are those of files which are there already, and may not change.
func testBaseNameOfEach(t *testing.T) {
	for c := byte('!'); c <= '~'; c++ {
		want := string(c)
		if !strings.Contains("abcdefghijklmnopqrstuvwxyz0123456789-_.@+=,", want) {
			want = fmt.Sprintf("%%%02x", c)
		}
		if got := baseName("a" + string(c)); got != "a"+want {
			t.Errorf("baseName of a%c is %q, want %q after the a", c, got, want)
		}
	}
}

func testBaseNameHashed(t *testing.T) {
	for _, key := range []string{strings.Repeat("a", 201), strings.Repeat("A", 67), strings.Repeat("~", 255)} {
		if got := baseName(key); len(got) != 65 || got[0] != '#' {
			t.Errorf("baseName(%q) = %q, want # and a hash", key, got)
		}
	}
}

func testSpelledKeyForeign(t *testing.T) {
	for _, base := range []string{"", "Alice", "%41LICE", "%2E", "a b", "%61", "%zz", "#", ".hidden", "con", "a%20b"} {
		if key := spelledKey(base); key != "" {
			t.Errorf("spelledKey(%q) = %q, want none: no key has that name", base, key)
		}
	}
}

// checkNames checks that two keys have different files, safe ones, in the
// directory itself, on every file system.
func checkNames(t *testing.T, a, b string) {
	t.Helper()
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
	if path := Dir("/d").path(name + recordSuffix); path != filepath.FromSlash("/d/"+name+recordSuffix) {
		t.Errorf("%q is kept in %q", a, path)
	}
	if key := spelledKey(name); name[:1] != hashed && key != a {
		t.Errorf("spelledKey(%q) = %q, want %q", name, key, a)
	}
}

func FuzzBaseName(f *testing.F) {
	for _, key := range hostileKeys {
		f.Add(key, key+"x")
		f.Add(key, strings.ToLower(key))
	}
	f.Fuzz(checkNames)
}
