package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// A SourceConfig configures a [Source].
type SourceConfig struct {
	// Refresh makes a new record from the last one. It is required.
	Refresh RefreshFunc

	// NeedsLogin says that a session begins with [Source.Set] alone: where no
	// refresh token is stored, Refresh is not called, and Token fails with
	// [ErrLoginRequired]. If false, Refresh begins the session from the zero
	// Record.
	NeedsLogin bool

	// Store keeps the record. If nil, it is kept in the memory of the Source.
	Store tokenstore.Store

	// Key is the record's key in Store. It is required with a Store.
	Key string

	// KeyFor, if not nil, gives the key of an account's record in place of Key, for
	// a Source whose configuration others share; see [Source.With]. It is called
	// often, by many goroutines at once. The key is not kept, to save its memory.
	KeyFor func(account string) string

	// Issuer, ClientID and Account say whose session it is; see
	// [tokenstore.Record]. They are written into its records, and a stored
	// record that has others is not taken: the error is [ErrIdentity], and only
	// Set replaces it. If Issuer is empty, records are taken as they are.
	Issuer, ClientID, Account string

	// Revoke tells the server that the tokens of a record are not used any more
	// (RFC 7009). Logout calls it, with the store's exclusion held, and it is
	// called for tokens that come too late for a login or a logout. Its context
	// ends after RefreshTimeout. If nil, a logout is known here alone.
	Revoke func(ctx context.Context, rec tokenstore.Record) error

	// RefreshBefore is how long before its expiry a token is refreshed, at the
	// most: it is never more than a quarter of the token's lifetime, and less a
	// jitter drawn for each token. If zero, [DefaultRefreshBefore].
	RefreshBefore time.Duration

	// RefreshTimeout bounds one call of Refresh. If zero,
	// [DefaultRefreshTimeout]. A caller never waits longer than its own
	// context allows.
	RefreshTimeout time.Duration

	// Observer is told what happens. If nil, nobody is.
	Observer *Observer

	// Logger gets a line for each event. If nil, nothing is logged.
	Logger *slog.Logger
}

// Defaults of a [SourceConfig].
const (
	DefaultRefreshBefore  = 5 * time.Minute
	DefaultRefreshTimeout = 15 * time.Second
)

func (c *SourceConfig) refreshBefore() time.Duration {
	if c.RefreshBefore == 0 {
		return DefaultRefreshBefore
	}
	return c.RefreshBefore
}

func (c *SourceConfig) refreshTimeout() time.Duration {
	if c.RefreshTimeout == 0 {
		return DefaultRefreshTimeout
	}
	return c.RefreshTimeout
}

// exclusionTimeout bounds the wait for the store's exclusion: as long as another
// process may take for a refresh and the saving of it.
func (c *SourceConfig) exclusionTimeout() time.Duration { return 2 * c.refreshTimeout() }

func (c *SourceConfig) key(account string) string {
	if c.KeyFor != nil {
		return c.KeyFor(account)
	}
	return c.Key
}

// identify writes into rec whose it is.
func (s *Source) identify(rec *tokenstore.Record) {
	if s.cfg.Issuer != "" {
		rec.Issuer, rec.ClientID, rec.Account = s.cfg.Issuer, s.cfg.ClientID, s.account
	}
}

// owns returns an error that is ErrIdentity if rec is somebody else's.
func (s *Source) owns(rec *tokenstore.Record) error {
	c := s.cfg
	if c.Issuer == "" || rec.Issuer == c.Issuer && rec.ClientID == c.ClientID && rec.Account == s.account {
		return nil
	}
	return fmt.Errorf("%w: issuer %.200q, client %.200q, account %.200q", ErrIdentity, rec.Issuer, rec.ClientID, rec.Account)
}

func (c *SourceConfig) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Refresh == nil {
		bad("Refresh is nil: give the func that asks the server for a token")
	}
	if c.Store != nil {
		if err := tokenstore.CheckKey(c.key(c.Account)); err != nil {
			bad("Key: %w", err)
		}
	}
	if c.RefreshBefore < 0 {
		bad("RefreshBefore is negative (%s): leave it zero for %s", c.RefreshBefore, DefaultRefreshBefore)
	}
	if c.RefreshTimeout < 0 {
		bad("RefreshTimeout is negative (%s): leave it zero for %s", c.RefreshTimeout, DefaultRefreshTimeout)
	}
	if len(errs) > 0 {
		return fmt.Errorf("transport: SourceConfig: %w", errors.Join(errs...))
	}
	return nil
}
