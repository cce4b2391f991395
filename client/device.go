package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A DevicePrompt is what a user is told who signs in with another device (RFC 8628
// §3.2, §3.3): to open VerificationURI there, and to enter UserCode. Its texts come from
// the server and are fit for a terminal; the URIs are https.
type DevicePrompt struct {
	UserCode        string
	VerificationURI string

	// VerificationURIComplete has the code in it, for a link or a QR code (§3.3.1). It
	// is empty if the server has none. The user still compares the code.
	VerificationURIComplete string

	// Expiry is when the code ends.
	Expiry time.Time
}

// LoginDevice signs the account of the session in on a device without a browser, or
// without a keyboard (RFC 8628): prompt tells the user what to do on another one, and
// LoginDevice asks the server, as often as that wants to be asked, whether it is done.
//
// prompt is called once, in a goroutine of its own, and may return at once or stay: its
// context ends with the login, which waits for it. Its error ends the login.
//
// The login ends with [ErrAccessDenied], [ErrLoginExpired], [ErrWrongAccount], a
// *[transport.RefreshError] where the server could not be asked or refused the program,
// or ctx's error. A server that is away is asked again until the code ends.
func (s *Session) LoginDevice(ctx context.Context, prompt func(ctx context.Context, p DevicePrompt) error) error {
	o, err := s.loginOptions(nil)
	if err == nil {
		err = s.client.checkLogin(o)
	}
	if err == nil && prompt == nil {
		err = errors.New("client: LoginDevice: prompt is nil: give the func that shows the code")
	}
	if err != nil {
		return err
	}
	d, err := s.client.beginDevice(ctx)
	if err != nil {
		return loginError(err)
	}
	rec, err := d.run(ctx, prompt)
	if err != nil {
		return loginError(err)
	}
	_, err = s.client.signIn(ctx, &pending{Account: s.account}, rec)
	return err
}

// A deviceLogin asks for the tokens of one device code.
type deviceLogin struct {
	client   *Client
	endpoint *tokenEndpoint // where the tokens come from
	where    string
	code     tokenstore.Secret
	prompt   DevicePrompt
	interval time.Duration
}

const (
	defaultInterval = 5 * time.Second // RFC 8628 §3.2
	slowDown        = 5 * time.Second // RFC 8628 §3.5
	maxBackoff      = 5 * time.Minute
)

const grantDevice = "urn:ietf:params:oauth:grant-type:device_code"

// beginDevice makes the device authorization request (RFC 8628 §3.1).
func (c *Client) beginDevice(ctx context.Context) (*deviceLogin, error) {
	if _, err := c.endpoint.server.findFresh(ctx); err != nil {
		return nil, err
	}
	asked, err := c.loginEndpoint(tokenstore.Secret{})
	if err != nil {
		return nil, err
	}
	d := &deviceLogin{client: c, endpoint: asked}
	if d.where, err = d.endpoint.find(ctx); err != nil {
		return nil, err
	}
	form := make(url.Values)
	if scope := c.cfg.scope(); scope != "" {
		form.Set("scope", scope)
	}
	d.endpoint.aim(form, nil, "")
	e := c.endpoint.other("device authorization endpoint", 1, func(known endpoints) string { return known.device })
	a, err := e.post(ctx, form)
	if err != nil {
		return nil, err
	}
	if a.status/100 != 2 || a.said() {
		return nil, a.failure()
	}
	return d, d.read(a)
}

// read reads the device authorization response (RFC 8628 §3.2).
func (d *deviceLogin) read(a *answer) error {
	text := func(names ...string) string {
		for _, name := range names {
			if s, ok := a.members.text(name); ok && s != "" {
				return s
			}
		}
		return ""
	}
	d.code = tokenstore.NewSecret(text("device_code"))
	d.interval = defaultInterval
	if i := a.lifetime("interval"); i > 0 {
		d.interval = i
	}
	d.prompt = DevicePrompt{
		UserCode:                text("user_code"),
		VerificationURI:         text("verification_uri", "verification_url"), // the latter at Google
		VerificationURIComplete: text("verification_uri_complete", "verification_url_complete"),
		Expiry:                  a.began.Add(loginTimeout),
	}
	if life := a.lifetime("expires_in"); life > 0 {
		d.prompt.Expiry = a.began.Add(life)
	}
	if fault := d.fault(); fault != "" {
		return d.endpoint.server.wrong(a.wrong(fault))
	}
	return nil
}

// maxUserCode is how long a code may be that somebody is to type.
const maxUserCode = 64

// fault says what keeps the answer from being used, or nothing.
func (d *deviceLogin) fault() string {
	p := &d.prompt
	switch {
	case d.code.IsZero() || p.UserCode == "" || p.VerificationURI == "":
		return "the answer has no device_code, user_code or verification_uri"
	case clean(p.UserCode, nil, maxUserCode) != p.UserCode:
		return "the user_code is too long, or has characters that nobody can type"
	case pageFault(p.VerificationURI) != "":
		return "the verification_uri " + pageFault(p.VerificationURI)
	case p.VerificationURIComplete != "" && pageFault(p.VerificationURIComplete) != "":
		p.VerificationURIComplete = "" // the other one will do
	}
	return ""
}

// pageFault says why a URL is not shown to a user.
func pageFault(raw string) string {
	if clean(raw, nil, 2048) != raw {
		return "is too long, or has characters that no URL has"
	}
	return urlFault(raw)
}

// run prompts the user and asks for the tokens until there are some.
func (d *deviceLogin) run(ctx context.Context, prompt func(context.Context, DevicePrompt) error) (tokenstore.Record, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, d.prompt.Expiry, ErrLoginExpired)
	prompting, stop := context.WithCancel(ctx)
	defer cancel()
	shown := apart("prompt", func() error { return prompt(prompting, d.prompt) })
	defer func() {
		stop()
		if shown != nil {
			<-shown
		}
	}()
	next := time.NewTimer(d.interval)
	defer next.Stop()
	for {
		select {
		case err := <-shown:
			shown = nil
			if err != nil && ctx.Err() == nil {
				return tokenstore.Record{}, fmt.Errorf("the code could not be shown: %w", err)
			}
		case <-ctx.Done():
			return tokenstore.Record{}, context.Cause(ctx)
		case <-next.C:
			if rec, over, err := d.poll(ctx); over {
				return rec, err
			}
			next.Reset(d.interval)
		}
	}
}

// poll asks once (RFC 8628 §3.4, §3.5), and reports whether that was the last time.
func (d *deviceLogin) poll(ctx context.Context) (rec tokenstore.Record, over bool, err error) {
	form := url.Values{"grant_type": {grantDevice}, "device_code": {d.code.Reveal()}}
	d.endpoint.aim(form, nil, "")
	a, err := d.endpoint.postTo(ctx, d.where, form)
	if err != nil {
		d.interval = min(2*d.interval, max(maxBackoff, d.interval))
		return rec, false, nil
	}
	switch a.code() {
	case "authorization_pending": // whatever the status: dex has 401
		return rec, false, nil
	case "slow_down":
		d.interval += slowDown
		return rec, false, nil
	case "access_denied":
		return rec, true, fmt.Errorf("%w: %w", ErrAccessDenied, a.serverError())
	case "expired_token":
		return rec, true, ErrLoginExpired
	}
	rec, err = d.client.firstRecord(ctx, d.endpoint, a)
	var re *transport.RefreshError
	if errors.As(err, &re) && re.Kind == transport.Transient && a.code() == "" { // a server that is out of order
		d.interval = max(min(2*d.interval, maxBackoff), re.RetryAfter)
		return rec, false, nil
	}
	return rec, true, err
}
