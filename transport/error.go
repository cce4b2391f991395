package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// A Kind says what a failed refresh means to the program.
type Kind uint8

const (
	// Transient is a failure for now: the server or the network did not do its
	// part. The session lives; it is tried again by itself.
	Transient Kind = iota

	// LoginRequired says that the session is over, or was never begun: only a
	// new login helps. The error is [ErrLoginRequired].
	LoginRequired

	// Misconfigured says that the server refuses the program, not the session:
	// a wrong client secret, a grant that is not allowed. A login would not
	// help; somebody has to correct the configuration.
	Misconfigured

	// StoreFailed says that the store could not be read, written or had for
	// the refresh alone. Nothing was exchanged, or what came is kept in memory.
	StoreFailed

	// Cancelled says that the caller's context was over first, or the Source
	// closed. The refresh itself goes on.
	Cancelled
)

var kindNames = [...]string{"transient", "login required", "misconfigured", "store failed", "cancelled"}

// String returns the kind in words.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

var (
	// ErrLoginRequired is what errors.Is finds in every error that means that
	// the user must sign in again.
	ErrLoginRequired = errors.New("transport: login required")

	// ErrIdentity says that the record under the session's key is another
	// session's: of another issuer, client or account. It is not used, and
	// stays where it is until a login replaces it.
	ErrIdentity = errors.New("transport: the stored record is of another session")

	// ErrClosed is what a [Source] returns after its Close.
	ErrClosed = errors.New("transport: source closed")
)

// A RefreshError is the error of every call that needed an access token and got
// none. It survives *url.Error: use [errors.As], or errors.Is with
// [ErrLoginRequired], context errors and store errors. It shows no secret.
type RefreshError struct {
	// Kind says what the failure means.
	Kind Kind

	// RetryAfter is how long the next try waits at least, if the server said
	// so or a pause is under way; otherwise zero.
	RetryAfter time.Duration

	// OutcomeUnknown is true if a refresh was sent and its answer lost: the
	// server may have acted on it.
	OutcomeUnknown bool

	// Doubtful is true for an answer that some servers give about a dead
	// refresh token and others about the loser of a race (invalid_request).
	// Running into it three times ends the session.
	Doubtful bool

	// Err is the cause.
	Err error
}

// Error says what the failure means, what it came from, and when the next try is.
func (e *RefreshError) Error() string {
	text := "transport: " + e.Kind.String()
	if e.Err != nil && e.Err != ErrLoginRequired {
		text += ": " + e.Err.Error()
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(" (next try in %s)", e.RetryAfter.Round(time.Millisecond))
	}
	return text
}

// Unwrap returns the cause.
func (e *RefreshError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrLoginRequired] and e is of that kind.
func (e *RefreshError) Is(target error) bool {
	return target == ErrLoginRequired && e.Kind == LoginRequired
}

// Timeout reports whether the caller's deadline passed, as net.Error has it.
func (e *RefreshError) Timeout() bool {
	return e.Kind == Cancelled && errors.Is(e.Err, context.DeadlineExceeded)
}

// asRefreshError returns err as a RefreshError: as the one it is or wraps, or
// else as one of the given kind.
func asRefreshError(err error, kind Kind) *RefreshError {
	var re *RefreshError
	if errors.As(err, &re) {
		return re
	}
	if errors.Is(err, ErrLoginRequired) {
		kind = LoginRequired
	}
	return &RefreshError{Kind: kind, Err: err}
}

// own returns err, which many callers get, as this one's alone: it may do with it
// what it likes.
func own(err error) error {
	if re, ok := err.(*RefreshError); ok {
		alone := *re
		return &alone
	}
	return err
}

// cancelled is the error of a caller whose own context is over: it is that
// context's error, and its cause.
func cancelled(ctx context.Context) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return &RefreshError{Kind: Cancelled, Err: err}
}

// refreshErrorKey is the context key of what RefreshErrorOf finds.
type refreshErrorKey struct{}

// RefreshErrorOf returns why the token could not be renewed after resp, a 401
// that a [Transport] returned: a *[RefreshError]. It returns nil for every other
// response.
//
// The reason travels in the context of resp.Request, where it survives what
// clients and middleware do to responses.
func RefreshErrorOf(resp *http.Response) error {
	if resp == nil || resp.Request == nil {
		return nil
	}
	err, _ := resp.Request.Context().Value(refreshErrorKey{}).(error)
	return err
}

// withRefreshError returns req, the caller's request, carrying why.
func withRefreshError(req *http.Request, why error) *http.Request {
	kind := Transient
	if errors.Is(why, ErrClosed) {
		kind = Cancelled
	}
	return req.WithContext(context.WithValue(req.Context(), refreshErrorKey{}, error(asRefreshError(why, kind))))
}
