package testserver

import (
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
)

// Respond answers with the given status, header and body. The server does not
// act; nor does it in any other action of this file.
func Respond(status int, header http.Header, body string) Action {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		maps.Copy(w.Header(), header.Clone())
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// Status answers with the given status and a line of text. The header is names
// and values in turn:
//
//	testserver.Status(503, "Retry-After", "30")
func Status(status int, header ...string) Action {
	h := pairs(header)
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	return Respond(status, h, fmt.Sprintf("%d %s\n", status, http.StatusText(status)))
}

func pairs(header []string) http.Header {
	if len(header)%2 != 0 {
		panic("testserver: a header name without a value")
	}
	h := make(http.Header)
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return h
}

// HTML answers with a page, as gateways and firewalls do: 200 of a captive
// portal, 403 of a firewall, 502 of a proxy.
func HTML(status int) Action {
	title := html.EscapeString(http.StatusText(status))
	page := "<!DOCTYPE html>\n<html><head><title>" + title + "</title></head><body><h1>" + title + "</h1></body></html>\n"
	return Respond(status, pairs([]string{"Content-Type", "text/html; charset=utf-8"}), page)
}

// OAuthError answers with an error as a token endpoint writes it (RFC 6749
// §5.2), with any code, and any status: 200 too. An empty description is left
// out.
func OAuthError(status int, code, description string) Action {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		exchangeOf(r).note(func(e *Entry) { e.Error = code })
		err := &oauthError{status, code, description}
		writeAnswer(w, exchangeOf(r).server.policy.Load(), status, err.members())
	}
}

// Redirect answers with a status such as 307, and url as the Location.
func Redirect(status int, url string) Action {
	return Status(status, "Location", url)
}

// Unauthorized answers 401 with a WWW-Authenticate line for each challenge, and
// none without one. It does not read the request's body first; see [ReadBody].
func Unauthorized(challenges ...string) Action {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		http.NewResponseController(w).EnableFullDuplex()
		reject(w, challenges...)
	}
}

// InsufficientScope answers 403 with the challenge of RFC 6750 §3.1 that asks
// for scope.
func InsufficientScope(scope string) Action {
	challenge := fmt.Sprintf(`Bearer realm="api", error="insufficient_scope", scope="%s"`, scope)
	return Status(http.StatusForbidden, "WWW-Authenticate", challenge)
}

// Raw answers with these very bytes, which need not be HTTP, and closes the
// connection. HTTP/1 only.
func Raw(answer string) Action {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		io.WriteString(conn, answer)
	}
}
