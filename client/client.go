package client

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// ErrLoginRequired is what errors.Is finds in every error that means that the
// user must sign in again. It is [transport.ErrLoginRequired].
var ErrLoginRequired = transport.ErrLoginRequired

// A Client is a program's registration at one authorization server. It has a
// [Session] for each account. Make it with [New]; it is safe for concurrent use.
type Client struct {
	cfg       *Config // a copy, without the client's secret; a pointer, so that fmt does not find it
	endpoint  *tokenEndpoint
	revoke    func(ctx context.Context, rec tokenstore.Record) error // nil without a revocation endpoint
	source    *transport.Source                                      // what those of its sessions are like
	transport *transport.Transport                                   // that of its sessions, but for their tokens
	keyPrefix string                                                 // what the keys of all its sessions begin with
	sessions  *sessions

	mu      sync.Mutex           // guards what follows
	used    map[string]time.Time // the states of logins that were finished, until they expire
	sweepAt int                  // when used has so many, those that have expired go
}

// New returns a Client. It does no I/O: the store and the server are first asked
// when a session is used. The error names every field of cfg that is wrong and
// says what to do. cfg is copied.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.clone()
	cfg.useCertificate()
	if cfg.Store == nil {
		cfg.Store = new(tokenstore.Memory)
	}
	c := &Client{
		cfg: &cfg, endpoint: newTokenEndpoint(cfg), sessions: newSessions(),
		keyPrefix: hashOf(16, cfg.issuer(), cfg.ClientID) + ".",
	}
	if cfg.RevocationURL != "" || cfg.Endpoint.TokenURL == "" {
		c.revoke = c.endpoint.revocation().revoke
	}
	if c.endpoint.keys != nil {
		cfg.Base = c.endpoint.keys.over(cfg.Base)
	}
	var err error
	if c.source, err = transport.NewSource(c.sourceConfig()); err != nil {
		return nil, err
	}
	if c.transport, err = transport.New(cfg.transportConfig(c.source)); err != nil {
		return nil, err
	}
	cfg.ClientSecret = ""
	return c, nil
}

// Format prints whose client it is at which server, for every verb.
func (c *Client) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "client.Client(%q at %q)", c.cfg.ClientID, shownURL(c.cfg.issuer()))
}

// Session returns the session of an account; the same account gives the same
// Session. The name is the program's own: a user's id, an e-mail address, the
// name of a job. It does no I/O, and takes about as long as a lookup in a map.
//
// A session in memory is about a kilobyte, beside its tokens. When it was not asked for
// in ten minutes, the program has nothing of it, no refresh of it runs and its tokens
// are saved, that is given back while other sessions are asked for; who asks for it then
// has it from the store.
//
// An empty account is an error at the first use of the session, except with a
// Grant, where it is the session of the program itself.
func (c *Client) Session(account string) *Session { return c.session(account, true) }

// session returns the session of an account, and keeps it for who asks next if hold.
func (c *Client) session(account string, hold bool) *Session {
	return c.sessions.get(account, hold, c.newSession)
}

// Close waits until no session has a refresh in flight or a token that is not
// saved, and until ctx is over at the most. The Client can't be used any more;
// its sessions return [transport.ErrClosed]. Closing again waits again.
//
// A program that exits without Close may lose a refresh token that was just
// renewed. The error says which sessions have one that could not be saved.
func (c *Client) Close(ctx context.Context) error {
	open := c.sessions.close()
	errs := make([]error, 0, len(open))
	var wg sync.WaitGroup
	for account, source := range open { // all at once: none may begin anything while another is waited for
		errs = append(errs, nil)
		err := &errs[len(errs)-1]
		wg.Go(func() { *err = wrap(source.Close(ctx), account) })
	}
	wg.Wait()
	c.endpoint.closeIdle()
	return errors.Join(errs...)
}

func (c *Client) isClosed() bool { return c.sessions.closed.Load() }

// key returns the name under which the store keeps the session of an account. It
// is made of issuer, client and account, so that no two of them meet, whatever
// characters they have.
func (c *Client) key(account string) string { return c.keyPrefix + hashOf(32, account) }

// warn writes a line to the log.
func (c *Client) warn(what string, args ...any) {
	if c.cfg.Logger != nil {
		c.cfg.Logger.Warn("freshet: "+what, args...)
	}
}

// hashOf returns n bytes of the hash of parts in hexadecimal digits. The lengths
// go in too, so that parts can't run into each other.
func hashOf(n int, parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		binary.Write(h, binary.BigEndian, uint64(len(part)))
		io.WriteString(h, part)
	}
	return hex.EncodeToString(h.Sum(nil)[:n])
}
