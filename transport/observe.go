package transport

import (
	"context"
	"log/slog"
	"time"
)

// An Observer is told what happens to sessions and requests. The zero value
// observes nothing; every func may be nil. The funcs are called by many goroutines
// at once, those of requests and of refreshes, and must return soon; a panic in
// one is swallowed. Events hold no secret. Those of a refresh come when its
// callers have their token already.
type Observer struct {
	// RefreshBegan is called before a refresh that needs the store's exclusion.
	RefreshBegan func(RefreshBegan)
	// RefreshEnded is called once for each RefreshBegan.
	RefreshEnded func(RefreshEnded)
	// Saved is called when a record that could not be saved at once is saved.
	Saved func(Saved)
	// SaveFailed is called when a new record could not be saved (yet). It is
	// kept in memory, and saving it is tried again.
	SaveFailed func(SaveFailed)
	// Restored is called when the store had lost the record, or gone back to an
	// older one, and this process wrote its own back.
	Restored func(Restored)
	// Rejected is called for each 401 to a request that carried a token.
	Rejected func(Rejected)
	// LoginRequired is called when a refresh finds that the session is over.
	LoginRequired func(LoginRequiredEvent)
	// LoggedOut is called for each Logout that ended a session.
	LoggedOut func(LoggedOut)
	// Revoked is called when the server was asked to revoke tokens: by a logout,
	// or because they came too late for a login or a logout.
	Revoked func(Revoked)
	// Breaker is called when the breaker opens or closes.
	Breaker func(Breaker)
	// Bare is called for a request that went out without a token because its
	// origin is not one where tokens go.
	Bare func(Bare)
}

// A Reason says why a token is refreshed.
type Reason string

// The reasons of a refresh.
const (
	ReasonNone     Reason = "none"     // there was no token
	ReasonStale    Reason = "stale"    // the token expires soon
	ReasonExpired  Reason = "expired"  // the token has expired
	ReasonRejected Reason = "rejected" // an API answered 401
)

// An Outcome says how a refresh ended.
type Outcome string

// The outcomes of a refresh.
const (
	OutcomeExchanged Outcome = "exchanged" // a new token came from the server
	OutcomeAdopted   Outcome = "adopted"   // another process had stored a newer one
	OutcomeUnsaved   Outcome = "unsaved"   // a new token came and is not saved yet
	OutcomeFailed    Outcome = "failed"
)

// A Subject says which session an event is about.
type Subject struct {
	Key     string // the store's key
	Account string // "" where not known
	Target  string
}

// RefreshBegan says that a refresh began.
type RefreshBegan struct {
	Subject
	Reason  Reason
	Attempt int // 1, and one more for each failure since the last success
}

// RefreshEnded says how a refresh ended.
type RefreshEnded struct {
	Subject
	Reason   Reason
	Attempt  int
	Outcome  Outcome
	Rotated  bool // the refresh token is another one now
	Waiters  int  // callers of the Source that waited when it ended
	Duration time.Duration
	Err      error  // nil unless Outcome is OutcomeFailed
	Token    string // fingerprint of the new access token
}

// Saved says that a record that was kept in memory is in the store now.
type Saved struct {
	Subject
	After time.Duration // since it came
}

// SaveFailed says that a new record is not in the store.
type SaveFailed struct {
	Subject
	Err error
}

// Restored says that this process wrote its record back into the store.
type Restored struct {
	Subject
	Gone bool // the record was gone; otherwise it was an older one
}

// Rejected says that an API answered 401 to a token.
type Rejected struct {
	Subject
	Host      string // of the API
	Challenge string // the error code of the challenge, or ""
	Refresh   bool   // the answer deserves a refresh
	Token     string // fingerprint of the rejected token
}

// LoginRequiredEvent says that the session is over until the next login.
type LoginRequiredEvent struct {
	Subject
	Err error
}

// LoggedOut says that a session was ended.
type LoggedOut struct {
	Subject
	Err error // ErrNotRevoked, if the server does not know of it
}

// Revoked says what became of revoking tokens.
type Revoked struct {
	Subject
	Err error // ErrNotRevoked, if the server may still take them
}

// Breaker says that refreshing after 401s was stopped, or goes on, because an
// API rejects every fresh token.
type Breaker struct {
	Subject
	Open bool
	For  time.Duration // how long it stays open
}

// Bare says that a request went out without a token.
type Bare struct {
	Subject
	Origin string // where it went: scheme, host and port
}

// watch tells the observer and the log. Its zero value tells nobody.
type watch struct {
	observer *Observer
	log      *slog.Logger
}

// tell calls one func of the observer, which may be nil or panic.
func tell[E any](f func(E), event E) {
	if f == nil {
		return
	}
	defer func() { recover() }()
	f(event)
}

func (w watch) line(level slog.Level, msg string, s Subject, args ...any) {
	if w.log == nil || !w.log.Enabled(context.Background(), level) {
		return
	}
	defer func() { recover() }()
	if s.Account != "" {
		args = append(args, "account", s.Account)
	}
	if s.Target != "" {
		args = append(args, "target", s.Target)
	}
	w.log.Log(context.Background(), level, "freshet: "+msg, append(args, "key", s.Key)...)
}

func (w watch) refreshBegan(e RefreshBegan) {
	w.line(slog.LevelDebug, "refresh began", e.Subject, "reason", e.Reason, "attempt", e.Attempt)
	tell(w.observer.RefreshBegan, e)
}

func (w watch) refreshEnded(e RefreshEnded) {
	if e.Err != nil {
		w.line(slog.LevelWarn, "refresh failed", e.Subject, "reason", e.Reason, "attempt", e.Attempt,
			"waiters", e.Waiters, "duration", e.Duration, "err", e.Err)
	} else {
		w.line(slog.LevelInfo, "refreshed", e.Subject, "reason", e.Reason, "outcome", e.Outcome, "attempt", e.Attempt,
			"rotated", e.Rotated, "waiters", e.Waiters, "duration", e.Duration, "token", e.Token)
	}
	tell(w.observer.RefreshEnded, e)
}

func (w watch) saved(e Saved) {
	w.line(slog.LevelInfo, "new token saved at last", e.Subject, "after", e.After)
	tell(w.observer.Saved, e)
}

func (w watch) saveFailed(e SaveFailed) {
	w.line(slog.LevelError, "new token not saved, kept in memory", e.Subject, "err", e.Err)
	tell(w.observer.SaveFailed, e)
}

func (w watch) restored(e Restored) {
	w.line(slog.LevelWarn, "record written back", e.Subject, "gone", e.Gone)
	tell(w.observer.Restored, e)
}

func (w watch) rejected(e Rejected) {
	w.line(slog.LevelDebug, "token rejected", e.Subject, "host", e.Host, "error", e.Challenge,
		"refresh", e.Refresh, "token", e.Token)
	tell(w.observer.Rejected, e)
}

func (w watch) loginRequired(e LoginRequiredEvent) {
	w.line(slog.LevelWarn, "login required", e.Subject, "err", e.Err)
	tell(w.observer.LoginRequired, e)
}

func (w watch) loggedOut(e LoggedOut) {
	if e.Err != nil {
		w.line(slog.LevelWarn, "logged out, and the server does not know of it", e.Subject, "err", e.Err)
	} else {
		w.line(slog.LevelInfo, "logged out", e.Subject)
	}
	tell(w.observer.LoggedOut, e)
}

func (w watch) revoked(e Revoked) {
	if e.Err != nil {
		w.line(slog.LevelWarn, "tokens not revoked", e.Subject, "err", e.Err)
	} else {
		w.line(slog.LevelInfo, "tokens revoked", e.Subject)
	}
	tell(w.observer.Revoked, e)
}

func (w watch) breaker(e Breaker) {
	w.line(slog.LevelWarn, "breaker", e.Subject, "open", e.Open, "for", e.For)
	tell(w.observer.Breaker, e)
}

func (w watch) bare(e Bare) {
	w.line(slog.LevelDebug, "request without a token", e.Subject, "origin", e.Origin)
	tell(w.observer.Bare, e)
}
