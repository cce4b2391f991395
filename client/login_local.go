package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"
)

// Login signs a user in on this machine and returns the session: it shows the server's
// page in the browser, waits for the answer at a loopback address (RFC 8252), exchanges
// the code for tokens and saves them. The account is that of opts, or what
// Config.AccountOf says.
//
// It returns when the user is done, when ctx is over, or after [LoginOptions].Timeout
// with [ErrLoginExpired]; nothing listens any more then. For the other errors see
// [Client.FinishLogin]. Each login listens at a port of its own, so that several may be
// under way, unless Config.RedirectURL has a port.
func (c *Client) Login(ctx context.Context, opts *LoginOptions) (*Session, error) {
	if opts == nil {
		opts = new(LoginOptions)
	}
	if err := c.checkLogin(opts); err != nil {
		return nil, err
	}
	redirect, err := c.cfg.loopbackURL()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opts.timeout(), ErrLoginExpired)
	defer cancel()
	if _, err := c.endpoint.server.findFresh(ctx); err != nil { // before anything listens
		return nil, loginError(err)
	}
	l, err := listenLoopback(redirect)
	if err != nil {
		return nil, err
	}
	login, err := c.beginLogin(ctx, opts, l.redirect)
	if err != nil {
		l.close(false)
		return nil, err
	}
	l.serve(login.p)
	return c.await(ctx, l, login, opts.open(ctx, login.URL()))
}

// Login signs the account of the session in; see [Client.Login]. From then on the
// session works, also where it is in use already. opts.Account may be left empty.
func (s *Session) Login(ctx context.Context, opts *LoginOptions) error {
	o, err := s.loginOptions(opts)
	if err != nil {
		return err
	}
	_, err = s.client.Login(ctx, o)
	return err
}

// loginOptions returns opts for a login of the session's account.
func (s *Session) loginOptions(opts *LoginOptions) (*LoginOptions, error) {
	var o LoginOptions
	if opts != nil {
		o = *opts
	}
	switch {
	case s.err != nil:
		return nil, s.err
	case o.Account != "" && o.Account != s.account:
		return nil, fmt.Errorf("client: session %q: LoginOptions.Account is another, %q: leave it empty", s.account, o.Account)
	}
	o.Account = s.account
	return &o, nil
}

// await waits for the answer to a login, and finishes it.
func (c *Client) await(ctx context.Context, l *loopbackServer, login *Login, opened <-chan error) (s *Session, err error) {
	params, err := l.await(ctx, opened)
	if err != nil {
		l.close(false)
		return nil, err
	}
	page := endedBadly // also where Config.AccountOf panics
	defer func() {
		l.end(page)
		l.close(true)
	}()
	s, err = c.FinishLogin(ctx, login, params)
	page = pageOf(err)
	return s, err
}

// await returns the answer to the login. opened is what comes of showing the page.
func (l *loopbackServer) await(ctx context.Context, opened <-chan error) (url.Values, error) {
	for {
		select {
		case params := <-l.answers:
			return params, nil
		case err := <-opened:
			if err != nil && ctx.Err() == nil {
				return nil, fmt.Errorf("client: login: the page could not be shown: %w", err)
			}
			opened = nil // the user is looking at the page, or ctx is over
		case <-ctx.Done():
			if err := context.Cause(ctx); err != ErrLoginExpired {
				return nil, fmt.Errorf("client: login: %w", err)
			}
			return nil, ErrLoginExpired
		}
	}
}

// pageOf returns the page for the end of a login.
func pageOf(err error) ending {
	switch {
	case err == nil:
		return endedWell
	case errors.Is(err, ErrAccessDenied):
		return endedRefused
	}
	return endedBadly
}

// open shows the URL to the user, in a goroutine, and returns what comes of it.
func (o *LoginOptions) open(ctx context.Context, url string) <-chan error {
	show := o.Open
	if show == nil {
		show = openHere
	}
	return apart("LoginOptions.Open", func() error { return show(ctx, url) })
}

// apart calls f, a callback of that name, in a goroutine, where neither a panic nor
// runtime.Goexit reaches anybody, and gives its error.
func apart(name string, f func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		err := fmt.Errorf("%s ended the goroutine", name)
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic (%T) in %s", v, name)
			}
			done <- err
		}()
		err = f()
	}()
	return done
}

// browserTimeout is how long a browser may take to be started.
const browserTimeout = 10 * time.Second

// openHere offers the URL for copying and opens it.
func openHere(ctx context.Context, url string) error {
	fmt.Fprintf(os.Stderr, "To sign in, open this page in a browser:\n\n  %s\n\n", url)
	ctx, cancel := context.WithTimeout(ctx, browserTimeout)
	defer cancel()
	if err := OpenBrowser(ctx, url); err != nil {
		fmt.Fprintf(os.Stderr, "It could not be opened by itself: %v\n", err)
	}
	return nil
}
