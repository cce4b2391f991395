package client

import "net/http"

// An ending is how a login ended, and the path of the page that says so.
type ending string

const (
	endedWell    ending = "/signed-in"
	endedRefused ending = "/refused"
	endedBadly   ending = "/failed"
)

func pageAt(path string) (ending, bool) {
	p := ending(path)
	return p, p == endedWell || p == endedRefused || p == endedBadly
}

func redirectToPage(w http.ResponseWriter, p ending) {
	w.Header().Set("Location", string(p))
	w.WriteHeader(http.StatusSeeOther)
}

func servePage(w http.ResponseWriter, p ending) { w.Write([]byte(p)) }
