package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// OpenBrowser opens a URL in the user's browser: an https one, or an http one on a
// loopback address. It is what a login does by itself, and is there for programs that
// have an Open of their own in [LoginOptions]. It returns when the browser has been told,
// and leaves it running. Where there is no screen it is an error at once.
func OpenBrowser(ctx context.Context, url string) error {
	target, err := openable(url)
	if err != nil {
		return err
	}
	if !hasScreen(runtime.GOOS, os.Getenv) {
		return errNoScreen
	}
	name, args := browserCommand(runtime.GOOS, os.Getenv, target)
	return start(ctx, exec.Command(name, args...))
}

var errNoScreen = errors.New("client: no browser can be opened: there is no screen here (DISPLAY and WAYLAND_DISPLAY are empty)")

// openable returns the URL as it is given to another program. The URL comes from a
// server's metadata, and the programs that open URLs open files and run programs as well
// (CVE-2025-6514), so that it has to be one of the web, and everything that a shell or a
// parser of options could make something of is escaped in it.
func openable(raw string) (string, error) {
	if fault := pageFault(raw); fault != "" {
		return "", fmt.Errorf("client: the URL is not opened: it %s", fault)
	}
	return escaped(raw), nil
}

// escaped escapes what is not a letter, a digit or a mark of URLs (RFC 3986 §2).
func escaped(raw string) string {
	const marks = "-._~:/?#[]@!$&*+,;=%" // without ' ( ), which are for nothing in a URL
	text := make([]byte, 0, len(raw))
	for i := range len(raw) {
		c := raw[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(marks, c) >= 0:
			text = append(text, c)
		default:
			text = fmt.Appendf(text, "%%%02X", c)
		}
	}
	return string(text)
}

// hasScreen reports whether there may be a browser that somebody sees.
func hasScreen(goos string, getenv func(string) string) bool {
	switch goos {
	case "windows", "darwin":
		return true
	}
	return getenv("DISPLAY") != "" || getenv("WAYLAND_DISPLAY") != ""
}

// browserCommand returns the program that opens a URL, and its arguments, of which the
// URL is one. On Windows that is not cmd: its start makes something of & and %.
func browserCommand(goos string, getenv func(string) string, url string) (name string, args []string) {
	switch goos {
	case "darwin":
		return "/usr/bin/open", []string{url}
	case "windows":
		return filepath.Join(getenv("SystemRoot"), "System32", "rundll32.exe"), []string{"url.dll,FileProtocolHandler", url}
	}
	return "xdg-open", []string{url}
}

// openWait is how long the program that opens a URL may take to fail.
const openWait = 2 * time.Second

// start starts a program that may run as long as the browser does.
func start(ctx context.Context, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("client: no browser can be opened: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	wait := time.NewTimer(openWait)
	defer wait.Stop()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("client: no browser can be opened: %s: %w", filepath.Base(cmd.Path), err)
		}
	case <-wait.C:
	case <-ctx.Done():
	}
	return nil
}
