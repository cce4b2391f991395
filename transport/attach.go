package transport

import (
	"maps"
	"net/http"
)

// An outgoing is a request with a token on it, made in the fewest allocations
// that the contract of RoundTripper allows: it forbids changing the caller's
// request, so the struct and the header map must be copied. The header's value
// lies in the same allocation as the struct, and belongs to this request alone:
// a Base that changes it spoils no other.
type outgoing struct {
	http.Request
	authorization [1]string
}

// withToken returns a copy of req that carries tok. All else is shared with req. sent is
// how often req was sent before.
func withToken(req *http.Request, tok Token, sent int) *http.Request {
	if tok.issue.bound {
		req = withBound(req, tok, sent)
	}
	out := &outgoing{Request: *req, authorization: [1]string{tok.issue.header.Reveal()}}
	out.Header = copyHeader(req.Header)
	out.Header["Authorization"] = out.authorization[:]
	return &out.Request
}

// copyHeader returns a copy of h with room for one more field; the values are
// shared. maps.Clone takes half the time of Header.Clone, but a map that is full
// would be copied once more when it grows.
func copyHeader(h http.Header) http.Header {
	switch len(h) {
	case 0, 8, 14, 28, 56: // what maps of 8, 16, 32 and 64 slots hold
		out := make(http.Header, len(h)+1)
		maps.Copy(out, h)
		return out
	}
	return maps.Clone(h)
}

// spellings are those of Authorization that people write: net/http sends names as they
// stand in the map. To look at each name of a header would cost as much as to copy it.
var spellings = [...]string{"Authorization", "authorization", "AUTHORIZATION"}

// hasAuthorization reports whether the caller set the field, if only to nothing.
func hasAuthorization(h http.Header) bool {
	for i := range spellings {
		if _, set := h[spellings[i]]; set {
			return true
		}
	}
	return false
}
