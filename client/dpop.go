package client

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/freshet-go/freshet/transport"
)

// DPoP binds the tokens of every session to a key, so that who steals them can't use
// them without it (RFC 9449). The zero value makes a key for each session at its login,
// or when it first needs one, and keeps it in the session's record: a [tokenstore.Sealed]
// protects it as it does the tokens.
//
// A request whose proof the API refuses, because it wants a nonce or another clock, is
// sent again whatever Config.Retry says: the API has not looked at more than the proof.
//
// Printed, it shows nothing of the key, unless it is in an unexported field.
type DPoP struct {
	// Algorithm is how keys sign: ES256, ES384, ES512, EdDSA, RS256 or PS256. If empty,
	// ES256, or what Key can do.
	Algorithm string

	// Key signs for all sessions: one that stays in hardware, say. It has to be safe for
	// concurrent use, and the same for as long as the sessions live. If nil, each
	// session has a key of its own.
	Key crypto.Signer

	// AllowBearer takes a bearer token where the server gives one all the same (RFC 9449
	// §5). If false that is an error: whoever steals it can use it.
	AllowBearer bool
}

// ErrKeyLost is what errors.Is finds in an error that is [ErrLoginRequired] because the
// key to which the session is bound is gone: it is not in the record, or Config.DPoP has
// another one. Only a login helps.
var ErrKeyLost = errors.New("client: the key to which the session's tokens are bound is not to be had: sign in again")

// String describes the configuration without the key.
func (d DPoP) String() string {
	return fmt.Sprintf("client.DPoP(algorithm %q, own key %t)", d.Algorithm, d.Key != nil)
}

// Format prints what [DPoP.String] returns, for every verb.
func (d DPoP) Format(f fmt.State, _ rune) { io.WriteString(f, d.String()) }

// LogValue is what slog handlers print.
func (d DPoP) LogValue() slog.Value { return slog.StringValue(d.String()) }

// MarshalText is an error: encoders that would show the key fail.
func (d DPoP) MarshalText() ([]byte, error) { return nil, errKey }

// GobEncode is an error: encoders that would show the key fail.
func (d DPoP) GobEncode() ([]byte, error) { return nil, errKey }

func (d *DPoP) check(p *problems) {
	if _, err := d.algorithm(); err != nil {
		p.add("DPoP.%w", err)
	}
}

// maxSends is how often a request of the program is sent in all: for a nonce, for a new
// token, and for both.
const maxSends = 3

// maxDrain is how much of an answer is read that is not looked at.
const maxDrain = 4 << 10

// A prover is a Base that proves possession of the keys to which tokens are bound, and
// answers demands for nonces. Requests without such a token it passes on.
type prover struct {
	base http.RoundTripper
	keys *proofKeys
}

// over returns a Base that sends through base.
func (k *proofKeys) over(base http.RoundTripper) http.RoundTripper {
	if k == nil {
		return base
	}
	if base == nil {
		base = http.DefaultTransport
	}
	return &prover{base, k}
}

// RoundTrip sends out with a proof (RFC 9449 §7.1), and once more if the server wants a
// nonce that it names in its answer (§9).
func (p *prover) RoundTrip(out *http.Request) (*http.Response, error) {
	b := transport.BoundOf(out.Context())
	if b == nil {
		return p.base.RoundTrip(out)
	}
	key, err := p.keys.of(b.Token.DPoPKey())
	if err != nil {
		closeBody(out)
		return nil, &transport.RefreshError{Kind: transport.LoginRequired, Err: err}
	}
	sent := p.keys.apis.of(originOf(out))
	resp, told, err := p.send(out, key, b, sent)
	if err != nil || b.Sent >= maxSends || !demands(resp, sent, told) {
		return resp, err
	}
	again, ok := rewound(out)
	if !ok {
		return resp, nil
	}
	if resp.ContentLength >= 0 && resp.ContentLength <= maxDrain { // or the connection would be closed
		io.Copy(io.Discard, resp.Body)
	}
	resp.Body.Close()
	if err := out.Context().Err(); err != nil {
		closeBody(again)
		return nil, err
	}
	resp, _, err = p.send(again, key, b, told)
	return resp, err
}

// send makes one attempt, with a proof for the server as it is known, and returns how the
// answer has it.
func (p *prover) send(out *http.Request, key *proofKey, b *transport.Bound, known peer) (resp *http.Response, told peer, err error) {
	proof, err := key.prove(out, b.Token.Reveal(), known)
	if err != nil {
		closeBody(out)
		return nil, peer{}, err
	}
	req := *out // the Transport's own copy
	req.Header = out.Header.Clone()
	req.Header["Dpop"] = []string{proof}
	b.Sent++
	resp, err = p.base.RoundTrip(&req)
	if err == nil && resp != nil {
		told = p.keys.apis.learn(originOf(out), resp.Header)
	}
	return resp, told, err
}

// demands reports whether resp, the answer to a proof made with sent, says that one made
// with told may do.
func demands(resp *http.Response, sent, told peer) bool {
	if resp == nil || resp.StatusCode != http.StatusUnauthorized {
		return false
	}
	for _, c := range transport.Challenges(resp) {
		if isDPoP(c.Scheme) && told.mends(sent, c.Param("error")) {
			return true
		}
	}
	return false
}

// CloseIdleConnections closes the idle connections of the base, if it has any.
func (p *prover) CloseIdleConnections() {
	if base, ok := p.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// rewound returns out as it was before it was sent, if its body can be had again.
func rewound(out *http.Request) (*http.Request, bool) {
	if out.Body == nil || out.Body == http.NoBody {
		return out, true
	}
	if out.GetBody == nil {
		return nil, false
	}
	body, err := out.GetBody()
	again := *out
	again.Body = body
	return &again, err == nil
}
