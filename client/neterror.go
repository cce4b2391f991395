package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// A netError says why there is no answer. What transports say of a broken answer
// quotes it, and *url.Error shows the URL, so only texts that are known to hold
// nothing of the two are shown, and only such errors are unwrapped.
type netError struct {
	from  string // the name of the endpoint
	where string
	what  string
	err   error // may be shown, or nil
}

func newNetError(ctx context.Context, from, url string, err error) *netError {
	if ctx.Err() != nil && !errors.Is(err, errLate) {
		err = ctx.Err()
	}
	what, shown := describe(err)
	return &netError{from, shownURL(url), what, shown}
}

func (e *netError) Error() string {
	return "client: no answer from the " + e.from + " " + e.where + ": " + e.what
}

func (e *netError) Unwrap() error { return e.err }

// describe returns a text for err that shows nothing of an answer or a URL, and
// the error in its chain, if any, of which the same is true.
func describe(err error) (text string, shown error) {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if harmless(e) {
			return e.Error(), e
		}
	}
	if cert := new(tls.CertificateVerificationError); errors.As(err, &cert) {
		return clean(cert.Error(), nil, maxDescription), nil
	}
	for _, known := range knownTexts {
		if strings.Contains(err.Error(), known) {
			return known, nil
		}
	}
	return "the connection broke", nil
}

// harmless reports whether everything that err prints is ours or the system's.
func harmless(err error) bool {
	switch e := err.(type) {
	case *net.OpError:
		return harmless(e.Err)
	case *net.DNSError, *os.SyscallError, syscall.Errno, *net.AddrError, guardError:
		return true
	}
	switch err {
	case context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF,
		net.ErrClosed, os.ErrDeadlineExceeded, errLate, errResend, errNoRequest, errNoAnswer:
		return true
	}
	return false
}

// knownTexts are what net/http says without quoting anything.
var knownTexts = []string{
	"server gave HTTP response to HTTPS client",
	"server closed idle connection",
	"server response headers exceeded",
	"timeout awaiting response headers",
	"TLS handshake timeout",
	"malformed HTTP response",
	"malformed MIME header",
	"malformed chunked encoding",
	"http2: server sent GOAWAY",
	"i/o timeout",
}

// timedOut reports whether err says that time ran out, by whatever limit.
func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.Canceled) || errors.As(err, &t) && t.Timeout()
}
