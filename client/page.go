package client

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
)

// An ending is how a login on this machine ended, and the path of the page that says so.
type ending string

const (
	endedWell    ending = "/signed-in"
	endedRefused ending = "/refused"
	endedBadly   ending = "/failed"
)

// endings are the words of the pages. The marks are paths of an SVG.
var endings = map[ending]struct{ title, text, mark string }{
	endedWell:    {"You are signed in", "You can close this page and go back to the program.", "M10 16.5l4.2 4.2L22.5 12"},
	endedRefused: {"You did not give access", "The program has not been signed in. To allow it after all, begin again in the program.", "M11 16h10"},
	endedBadly:   {"This did not work", "Go back to the program: it says what happened. Then begin again there.", "M12 12l8 8M20 12l-8 8"},
}

// The page is made of two files of this package and of the words above. Nothing else
// gets into it, so nothing that a request has in it can be reflected.
var (
	//go:embed page/page.html
	pageFrame string
	//go:embed page/page.css
	pageStyle string
)

// pageAt returns the ending whose page is at path.
func pageAt(path string) (ending, bool) {
	_, ok := endings[ending(path)]
	return ending(path), ok
}

// redirectToPage sends the browser on to the page, so that what the server sent back
// stays neither in the address bar nor in the history (RFC 9700 §4.3).
func redirectToPage(w http.ResponseWriter, e ending) {
	secure(w.Header())
	w.Header().Set("Location", string(e))
	w.WriteHeader(http.StatusSeeOther)
}

// servePage answers with the page.
func servePage(w http.ResponseWriter, e ending) {
	page := endings[e]
	secure(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	strings.NewReplacer(
		"{{style}}", pageStyle, "{{class}}", string(e[1:]),
		"{{title}}", page.title, "{{text}}", page.text, "{{mark}}", page.mark,
	).WriteString(w, pageFrame)
}

// pagePolicy lets the page have its own style and the icon that is in it, and nothing else
// (Content Security Policy Level 3).
var pagePolicy = fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	hashOfStyle())

func hashOfStyle() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// secure sets the headers of everything that the listener answers to a browser.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
