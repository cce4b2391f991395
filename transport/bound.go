package transport

import (
	"context"
	"net/http"
	"strings"

	"github.com/freshet-go/freshet/tokenstore"
)

// A Bound is what the Base of a [Transport] has to know of a request whose token is
// bound to a key (RFC 9449), so that it can prove that the key is this program's: on
// the request is the token, and nothing else. It belongs to one request of the program
// and is used by one goroutine at a time.
type Bound struct {
	// Token is the token on the request. Its key is [Token.DPoPKey].
	Token Token

	// Sent is how often the request of the program was sent, with this token and the
	// one before. Base counts it.
	Sent int
}

type boundKey struct{}

// BoundOf returns the Bound of a request with that context, and nil where its token is
// a bearer token, or none.
func BoundOf(ctx context.Context) *Bound {
	b, _ := ctx.Value(boundKey{}).(*Bound)
	return b
}

// withBound returns a request like req that tells Base of tok. before is how often the
// request was sent so far.
func withBound(req *http.Request, tok Token, before int) *http.Request {
	return req.WithContext(context.WithValue(req.Context(), boundKey{}, &Bound{tok, before}))
}

// sentSoFar returns how often out was sent, as far as that is counted.
func sentSoFar(out *http.Request) int {
	if b := BoundOf(out.Context()); b != nil {
		return b.Sent
	}
	return 0
}

const dpop = "DPoP"

// bound reports whether a token of rec is bound to a key that rec has.
func bound(rec *tokenstore.Record, t *tokenstore.AccessToken) bool {
	return strings.EqualFold(t.Type, dpop) && !rec.DPoPKey.IsZero()
}

// DPoPKey returns the key to which the session's tokens are bound, as its record has it,
// or the zero Secret.
func (t Token) DPoPKey() tokenstore.Secret {
	if t.issue == nil {
		return tokenstore.Secret{}
	}
	return t.issue.record.DPoPKey
}
