package client

import (
	"errors"
	"strings"

	"github.com/freshet-go/freshet/transport"
)

// A failedLogin is a login that failed at the server, said as its user needs it: what
// happened, and what to do.
type failedLogin struct{ err error }

// loginError returns err as the error of a login.
func loginError(err error) error {
	if errors.Is(err, ErrAccessDenied) || errors.Is(err, ErrLoginExpired) {
		return err // it says so already
	}
	return &failedLogin{err}
}

// Error says what happened.
func (e *failedLogin) Error() string {
	cause, what := e.err, "the login failed"
	var re *transport.RefreshError
	if errors.As(e.err, &re) {
		cause = re.Err
		switch re.Kind {
		case transport.Transient:
			what = "the server could not be asked, so try again later"
		case transport.LoginRequired:
			what = "the server does not take the login, so begin it again"
		case transport.Misconfigured:
			what = "the program and the server do not fit together, and no login helps"
		}
	}
	return "client: login: " + what + ": " + strings.TrimPrefix(cause.Error(), "client: ")
}

// Unwrap returns the cause.
func (e *failedLogin) Unwrap() error { return e.err }
