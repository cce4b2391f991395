//go:build unix || windows

package tokenstore

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// FuzzNote takes over a lock file that holds anything at all. Nothing is removed
// but the temporary file of that key, and the note that is written can be read.
func FuzzNote(f *testing.F) {
	for _, text := range []string{
		"", "\x00", "\x00{}", "\x00null", `.{"key":"k","pid":1,"temp":"k.abc.tmp"}`, `.{"temp":"k.../other.tmp"}`, `.{"temp":"other.abc.tmp"}`,
		`.{"temp":"k.json"}`, `.{"temp":"k./../other.abc.tmp"}`, `.{"temp":"k.sub/k.abc.tmp"}`, `.{"key":"other","pid":-1,"temp":"k.tmp"}`, `.{"pid":1e99}`,
		"." + strings.Repeat("[", 5000),
	} {
		f.Add([]byte(text))
	}
	dir := Dir(f.TempDir())
	sub := dir.path("k.sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		f.Fatal(err)
	}
	bystanders := []string{dir.path("k.json"), dir.path("other.abc.tmp"), dir.path("other.json"), filepath.Join(sub, "k.abc.tmp")}
	for _, path := range bystanders {
		if err := os.WriteFile(path, []byte("here"), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := dir.path("k.lock")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		n := readNote(path)
		if len(n.Key)+len(n.Temp) > 3*maxNote || len(n.String()) > 40 {
			t.Errorf("a note of %d bytes, shown as %q", len(n.Key)+len(n.Temp), n)
		}
		if same := noteOf(bytes.NewReader(b)); same != n {
			t.Errorf("the note is %+v in the file and %+v in memory", n, same)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		h := &holder{dir: dir, base: "k", key: "k", file: file}
		if err := h.takeOver(); err != nil {
			t.Fatal(err)
		}
		if n := readNote(path); n != (note{Key: "k", PID: os.Getpid()}) {
			t.Errorf("the note that was written is read as %+v", n)
		}
		for _, path := range bystanders {
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("the note had a file removed that is not its own: %v", err)
			}
		}
	})
}

var escape = regexp.MustCompile(`%([0-9a-fA-F]{2})`)

// FuzzSpelledKey reads any file name as one of Dir's, and compares with another
// way to undo the escapes.
func FuzzSpelledKey(f *testing.F) {
	for _, base := range []string{
		"alice", "alice@example.com", "%41lice", "%41LICE", "%2e.%2fx", "%2E", "Alice", "", "#", "#41", "a b", "a%20b", "%61", "%", "%zz", "%00", "con", "%63on", "a%25b",
		strings.Repeat("a", 200), strings.Repeat("a", 201), strings.Repeat("%7e", 66), "a+b=c,d", "\xff",
	} {
		f.Add(base)
	}
	f.Fuzz(func(t *testing.T, base string) {
		want := escape.ReplaceAllStringFunc(base, func(s string) string {
			b, _ := hex.DecodeString(s[1:])
			return string(b)
		})
		if strings.Contains(escape.ReplaceAllString(base, ""), "%") || CheckKey(want) != nil || baseName(want) != base {
			want = ""
		}
		if got := spelledKey(base); got != want {
			t.Errorf("spelledKey(%q) = %q, want %q", base, got, want)
		}
	})
}
