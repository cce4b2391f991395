package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// maxAttempts is how often a token request is tried: the first time, and again
// where it is certain that the server has not got it.
const maxAttempts = 3

// firstRetry is the pause before the second attempt; it doubles.
const firstRetry = 200 * time.Millisecond

// A tokenRequest is one request to the token endpoint and its answer: one attempt, and where that
// is safe a few more. Its methods are called in turn.
type tokenRequest struct {
	ctx      context.Context // of all attempts
	endpoint *tokenEndpoint
	url      string
	form     url.Values
	began    time.Time // wall clock

	secrets []string // what was sent and must not be shown
	fate    fate     // of the last attempt
	lost    int      // answers lost
	unknown bool     // the server may have acted on an attempt that brought no answer
	answer  *answer
	err     error // of the last attempt

	origin   string // of the endpoint, where proofs are made
	proof    peer   // what the proof of the last attempt was made with
	told     peer   // what the last answer says of it
	demanded bool   // another proof, by an answer (RFC 9449 §8)
}

// A fate is what became of an attempt.
type fate uint8

const (
	answered fate = iota
	unsent        // the server can't have acted on it
	unfit         // the same, and it would end so again
	lost          // the connection broke after it was sent: the server may have acted
	gaveUp        // sent, and no answer in time: it may still come, and must not be crossed
)

var (
	errNoRequest = errors.New("client: the token request can't be made")
	errNoAnswer  = errors.New("client: the transport returned neither an answer nor an error")
)

// run sends the request until there is an answer, or trying again would not be
// safe or worth it.
//
// 429 and 503 are answers: whoever asked waits then, and the pause is shared by
// all who ask, so it is none of this.
func (x *tokenRequest) run() error {
	req, err := retryablehttp.NewRequestWithContext(x.ctx, http.MethodPost, x.url, nil)
	if err != nil {
		return errNoRequest
	}
	req.SetResponseHandler(x.read)
	c := &retryablehttp.Client{
		HTTPClient: &http.Client{Transport: x},
		Logger:     nil,
		RetryMax:   maxAttempts - 1,
		CheckRetry: x.again,
		Backoff:    x.backoff,
	}
	c.Do(req) // what it returns is known here already, and its errors show the URL
	switch {
	case x.answer != nil:
		x.answer.unknown = x.unknown
		return nil
	case x.err != nil:
		return x.err
	}
	return errNoAnswer
}

// RoundTrip is one attempt. The request that it is given only says when: what is
// sent is made anew, with a new proof of who the client is.
func (x *tokenRequest) RoundTrip(*http.Request) (*http.Response, error) {
	x.answer, x.err, x.fate = nil, nil, unfit
	if late(x.ctx) {
		return nil, x.fail(errLate)
	}
	req, sent, err := x.endpoint.request(x.ctx, x.url, x.form)
	if err != nil {
		return nil, x.fail(err)
	}
	if err := x.prove(req); err != nil {
		return nil, x.fail(err)
	}
	x.secrets = append(x.secrets, secretsOf(req, sent.form)...)
	resp, err := x.endpoint.base.RoundTrip(req)
	if err == nil && (resp == nil || resp.Body == nil) {
		err = errNoAnswer
	}
	if err != nil {
		x.fate = x.fateOf(sent.seal(), err)
		return nil, x.fail(err)
	}
	// A redirect is an answer, and not one that is followed: without a target
	// http.Client returns it as it is. CheckRedirect would come too late for a
	// target that can't be read.
	resp.Header.Del("Location")
	if x.endpoint.key != nil {
		x.told = x.endpoint.keys.auth.learn(x.origin, resp.Header)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body.Close() // the connection itself, which no context ends
		resp.Body = http.NoBody
	}
	x.fate = answered
	return resp, nil
}

// fateOf judges an attempt that failed with err. net/http asks for a second copy
// of the body only where the server has not acted on the first: none of it was
// written, or HTTP/2 said so (RFC 9113 §6.8, §8.7). Of other transports that is
// not known.
func (x *tokenRequest) fateOf(sent bool, err error) fate {
	_, std := x.endpoint.base.(*http.Transport)
	switch {
	case !sent && errors.As(err, new(*tls.CertificateVerificationError)):
		return unfit
	case !sent, std && errors.Is(err, errResend):
		return unsent
	case timedOut(err):
		return gaveUp
	}
	return lost
}

// fail notes the end of an attempt that brought no answer.
func (x *tokenRequest) fail(err error) error {
	switch x.fate {
	case lost:
		x.lost++
		x.unknown = true
	case gaveUp:
		x.unknown = true
	}
	x.err = newNetError(x.ctx, x.endpoint.name, x.url, err)
	return x.err
}

// read reads the answer.
func (x *tokenRequest) read(resp *http.Response) error {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	a := readAnswer(resp, text, x.secrets)
	if err == nil || a.status/100 != 2 || a.usable() {
		x.answer = a
		return nil
	}
	x.fate = lost
	if timedOut(err) {
		x.fate = gaveUp
	}
	return x.fail(err)
}

// again decides whether there is another attempt.
func (x *tokenRequest) again(ctx context.Context, _ *http.Response, _ error) (bool, error) {
	if late(ctx) {
		return false, nil
	}
	if x.fate == answered {
		return x.demands(), nil
	}
	if x.fate == lost && x.lost <= x.endpoint.resends {
		x.endpoint.log.LogAttrs(ctx, slog.LevelWarn, "freshet: answer of the token endpoint lost, asking once more",
			slog.String("err", x.err.Error()))
		return true, nil
	}
	return x.fate == unsent, nil
}

// prove puts a proof of possession on the request, if it needs one.
func (x *tokenRequest) prove(req *http.Request) error {
	if x.endpoint.key == nil {
		return nil
	}
	x.origin = originOf(req)
	if x.proof = x.told; !x.demanded {
		x.proof = x.endpoint.keys.auth.of(x.origin)
	}
	proof, err := x.endpoint.key.prove(req, "", x.proof)
	req.Header["Dpop"] = []string{proof}
	return err
}

// demands reports whether the answer says that another proof may do, and nobody has
// said so before.
func (x *tokenRequest) demands() bool {
	if x.endpoint.key == nil || x.answer == nil || x.answer.status/100 != 4 || x.demanded {
		return false
	}
	x.demanded = x.told.mends(x.proof, x.answer.code())
	return x.demanded
}

// backoff is the pause before attempt n+2. The server waits for one that it demanded.
func (x *tokenRequest) backoff(_, _ time.Duration, n int, _ *http.Response) time.Duration {
	if x.fate == answered {
		return 0
	}
	d := firstRetry << n
	return d - d/4 + rand.N(d/2)
}
