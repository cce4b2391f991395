package client

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestRule095_only_URLs_of_the_web_are_opened_and_no_shell_sees_them(t *testing.T) {
	for _, raw := range []string{
		"javascript:alert(1)", "file:///etc/passwd", "-x", "--help", "-https://auth.example.com", "/bin/sh", "auth.example.com", "", " ",
		"https://", "https://user@auth.example.com/", "https://user:pass@auth.example.com/", "http://auth.example.com/", "http://localhost.evil.test/",
		"ftp://auth.example.com/", "data:text/html,x", "ms-settings:", "calc:", `\\evil.test\share`, "https:auth.example.com", "https://auth.example.com/#f",
		"https://auth.example.com/\n", "https://auth.example.com/\x00", "https://auth.example.com/\x1b[2J", "https://auth.example.com/\u202e",
		"https://auth.example.com/" + strings.Repeat("a", 10_000),
	} {
		if got, err := openable(raw); err == nil || got != "" {
			t.Errorf("%.60q is opened as %q", raw, got)
		}
	}
	for raw, want := range map[string]string{
		"https://auth.example.com/authorize?a=b&c=d%20e":  "https://auth.example.com/authorize?a=b&c=d%20e",
		"http://127.0.0.1:8080/?x":                        "http://127.0.0.1:8080/?x",
		"http://[::1]:8080/":                              "http://[::1]:8080/",
		"https://auth.example.com/$(id)":                  "https://auth.example.com/$%28id%29",
		"https://auth.example.com/?a=`id`":                "https://auth.example.com/?a=%60id%60",
		"https://auth.example.com/?a=b c":                 "https://auth.example.com/?a=b%20c",
		`https://auth.example.com/?a="b'|<>^{}\`:          "https://auth.example.com/?a=%22b%27%7C%3C%3E%5E%7B%7D%5C",
		"https://auth.example.com/?a=\u00e9":              "https://auth.example.com/?a=%C3%A9",
		"https://auth.example.com/?a=1&calc.exe&whoami=1": "https://auth.example.com/?a=1&calc.exe&whoami=1",
	} {
		got, err := openable(raw)
		if err != nil || got != want {
			t.Errorf("%q is opened as %q, %v; want %q", raw, got, err, want)
		}
		for goos, program := range map[string]string{"linux": "xdg-open", "freebsd": "xdg-open", "darwin": "/usr/bin/open", "windows": filepath.Join(`C:\Windows`, "System32", "rundll32.exe")} {
			name, args := browserCommand(goos, func(string) string { return `C:\Windows` }, got)
			if name != program || args[len(args)-1] != got || slices.ContainsFunc(args[:len(args)-1], func(a string) bool { return a != "url.dll,FileProtocolHandler" }) {
				t.Errorf("%s: %s %q", goos, name, args)
			}
		}
	}
	t.Run("here", testOpenBrowser)
}

// testOpenBrowser opens URLs with a program that writes down its arguments.
func testOpenBrowser(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil || runtime.GOOS == "darwin" {
		t.Skip("the program that stands for xdg-open is a shell script, and here nothing would run it")
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	script := "#!/bin/sh\nfor a in \"$@\"; do printf '%s\\0' \"$a\" >>" + log + "; done\nexit ${STATUS:-0}\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv("DISPLAY", ":0")
	if name, _ := browserCommand("linux", os.Getenv, ""); name != "xdg-open" {
		t.Fatal(name)
	}
	hostile := "https://auth.example.com/?a=$(touch " + dir + "/owned)&b=`id`&c=;id&d=|id&e=%22"
	if err := OpenBrowser(t.Context(), hostile); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(log)
	if want := escaped(hostile) + "\x00"; string(got) != want {
		t.Errorf("the program got %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "owned")); err == nil {
		t.Error("the URL was run by a shell")
	}
	t.Setenv("STATUS", "4")
	if err := OpenBrowser(t.Context(), "https://auth.example.com/"); err == nil || !strings.Contains(err.Error(), "xdg-open") {
		t.Errorf("of a program that fails: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if err := OpenBrowser(t.Context(), "https://auth.example.com/"); err == nil || !strings.Contains(err.Error(), "no browser can be opened") {
		t.Errorf("without the program: %v", err)
	}
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	if err := OpenBrowser(t.Context(), "https://auth.example.com/"); err != errNoScreen {
		t.Errorf("without a screen: %v", err)
	}
}
