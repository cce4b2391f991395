package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A KeepAliveConfig says what [Client.KeepAlive] does. The zero value keeps every
// session of the store alive.
type KeepAliveConfig struct {
	// Accounts are whose sessions are kept alive. If nil, those of all accounts
	// that have one in the store, which must be able to list its keys; see
	// [tokenstore.Keys].
	Accounts []string

	// Concurrency is how many sessions are read or refreshed at once, at the
	// most. If zero, 64.
	Concurrency int

	// Rescan is how often the store is looked through for sessions that have
	// come or gone. If zero, a minute.
	Rescan time.Duration
}

// KeepAlive keeps sessions alive that have no traffic, until ctx is over, and
// returns its error. It refreshes a session ahead of the expiry of its access token,
// or of its refresh token where the server tells that (refresh_token_expires_in,
// refresh_expires_in), and one of which neither is known once a day. It may run on
// several hosts at once: what one has refreshed the others take, so that it is one
// refresh a lifetime between them all.
//
// A failure for now is tried again for as long as it takes, with growing pauses. When
// nothing but failures has come for a while, the server or the store counts as down,
// and one session at a time tries it, every ten seconds at the most. A session that
// needs a login is left alone until it has had one.
//
// It has no goroutine for a session, and keeps a few hundred bytes for each. When it
// returns its goroutines have ended; a refresh that is under way goes on, and
// [Client.Close] waits for it. [Client.Close] ends it, too, with
// [transport.ErrClosed]. A store that can't list its keys is an error at once that is
// [errors.ErrUnsupported], unless Accounts are named.
func (c *Client) KeepAlive(ctx context.Context, cfg KeepAliveConfig) error {
	if cfg.Concurrency < 0 || cfg.Rescan < 0 {
		return fmt.Errorf("client: KeepAlive: Concurrency (%d) and Rescan (%s) must not be negative: leave them zero for the defaults", cfg.Concurrency, cfg.Rescan)
	}
	if slices.Contains(cfg.Accounts, "") && c.cfg.Grant == nil {
		return errNoAccount
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	k := &keeper{
		client: c, cancel: cancel,
		accounts:    cfg.Accounts,
		concurrency: cmp.Or(cfg.Concurrency, 64),
		rescan:      cmp.Or(cfg.Rescan, time.Minute),
		all:         make(map[string]*kept),
		ended:       make(chan *kept),
		pages:       make(chan page),
	}
	k.run(ctx)
	return context.Cause(ctx)
}

// A keeper is one KeepAlive. One goroutine has all of it; others work on a session,
// or look through the store, and come back.
type keeper struct {
	client      *Client
	cancel      context.CancelCauseFunc
	accounts    []string
	concurrency int
	rescan      time.Duration

	all     map[string]*kept // by key
	queue   queue
	working int
	ended   chan *kept // those that were worked on
	health  health

	scanning bool
	scans    uint32
	nextScan time.Time
	pages    chan page
}

// A page is some of the keys of the store.
type page struct {
	keys []string
	last bool
	err  error
}

func (k *keeper) run(ctx context.Context) {
	for _, account := range k.accounts {
		if key := k.client.key(account); k.all[key] == nil {
			k.add(key, account)
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(k.step(ctx))
		select {
		case s := <-k.ended:
			k.back(s)
		case p := <-k.pages:
			k.turn(p)
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	k.end()
}

// end waits for those that are at work, whose context is over. A refresh that is under
// way goes on.
func (k *keeper) end() {
	for k.working > 0 || k.scanning {
		select {
		case <-k.ended:
			k.working--
		case p := <-k.pages:
			k.scanning = !p.last
		}
	}
}

// step begins what is due, and returns how long nothing else is.
func (k *keeper) step(ctx context.Context) time.Duration {
	now := time.Now()
	if k.accounts == nil && !k.scanning && !now.Before(k.nextScan) {
		k.scanning = true
		k.scans++
		go k.scan(ctx)
	}
	for k.free(now) && len(k.queue) > 0 && !now.Before(k.queue[0].due) {
		s := k.queue.next()
		k.working++
		go func() {
			defer func() { k.ended <- s }()
			s.work(ctx, k)
		}()
	}
	wait := time.Hour
	if k.accounts == nil && !k.scanning {
		wait = k.nextScan.Sub(now)
	}
	if len(k.queue) > 0 && k.working < k.limit() {
		wait = min(wait, max(k.queue[0].due.Sub(now), k.health.next.Sub(now)))
	}
	return wait
}

// limit is how many sessions are worked on at once.
func (k *keeper) limit() int {
	if k.health.down() {
		return 1
	}
	return k.concurrency
}

func (k *keeper) free(now time.Time) bool { return k.working < k.limit() && !now.Before(k.health.next) }

func (k *keeper) add(key, account string) {
	s := &kept{key: key, account: account, named: k.accounts != nil, scan: k.scans}
	k.all[key] = s
	k.queue.add(s)
}

// back takes a session that was worked on.
func (k *keeper) back(s *kept) {
	k.working--
	if k.health.note(s.outcome, time.Now()) {
		k.client.warn("keep-alive: nothing but failures, one session at a time is tried now")
	}
	switch {
	case s.outcome == closed:
		k.cancel(transport.ErrClosed)
	case s.outcome == gone && !s.named:
		delete(k.all, s.key)
	default:
		k.queue.add(s)
	}
}

// scan reads the keys of the store, as far as they are this client's.
func (k *keeper) scan(ctx context.Context) {
	p := page{err: errStoreEnded}
	defer func() {
		recover() // of the program's store
		p.last = true
		k.pages <- p
	}()
	prefix := k.client.keyPrefix
	for key, err := range tokenstore.Keys(ctx, k.client.cfg.Store) {
		if err != nil {
			p.err = err
			return
		}
		if strings.HasPrefix(key, prefix) {
			p.keys = append(p.keys, key)
		}
		if len(p.keys) == 1000 {
			k.pages <- page{keys: p.keys}
			p.keys = nil
		}
	}
	p.err = nil
}

// turn takes in a page: sessions that have come, and after the last one those that
// have gone.
func (k *keeper) turn(p page) {
	for _, key := range p.keys {
		if s := k.all[key]; s != nil {
			s.scan = k.scans
		} else {
			k.add(key, "")
		}
	}
	if !p.last {
		return
	}
	k.scanning = false
	k.nextScan = time.Now().Add(k.rescan - k.rescan/4 + jitter(k.rescan/2))
	switch {
	case errors.Is(p.err, errors.ErrUnsupported):
		k.cancel(fmt.Errorf("client: KeepAlive: name the Accounts: %w", p.err))
	case p.err != nil:
		k.client.warn("keep-alive: the sessions in the store can't be listed", "err", p.err)
	default:
		for _, s := range k.queue.remove(func(s *kept) bool { return s.scan != k.scans }) {
			delete(k.all, s.key)
		}
	}
}
