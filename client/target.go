package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A Target is what an access token is for, where a session has tokens for several
// things: one API of many, or a part of what the session may do.
type Target struct {
	// Resources are the APIs, as their server names them: absolute URIs without a
	// fragment (RFC 8707 §2). Many servers take one at a time.
	Resources []string

	// Scopes is what the token may do, a part of what the session may (RFC 6749 §6). If
	// empty, what the server grants for the resources. Some servers keep a narrower
	// scope for all later tokens of the session.
	Scopes []string

	// Origins is where the tokens may go. If empty, to the origins of the Resources that
	// are URLs, and to Config.Origins if none is.
	Origins []string
}

// For returns a view of the session whose access tokens are for target. The view shares
// the session's refresh token, and refreshes through it one after the other; its tokens
// are kept beside the others, and none of them is sent where another's should be.
// Everything else of the view is the session: a Logout ends both.
//
// Where Config.Resources is set, Target.Resources are of those. Where it is not, mind that
// some servers end the session when they are asked for a resource that was not granted.
//
// A Target that is wrong is an error at the first use of the view.
func (s *Session) For(target Target) *Session {
	v := &Session{client: s.client, account: s.account, source: s.source, err: s.err}
	err := target.check()
	if err == nil {
		err = target.within(s.client.cfg.Resources)
	}
	if err == nil {
		v.target = target.String()
		v.view, err = s.client.cfg.transportFor(target, s.source)
	}
	if err != nil {
		v.err = fmt.Errorf("client: session %q: For: %w", s.account, err)
	}
	return v
}

// String returns the target as records and transports name it: the parameters that ask
// for it (RFC 8707 §2.2, RFC 6749 §6), in order. It is empty for the session's own.
func (t Target) String() string {
	form := make(url.Values)
	if len(t.Resources) > 0 {
		form["resource"] = slices.Compact(slices.Sorted(slices.Values(t.Resources)))
	}
	if len(t.Scopes) > 0 {
		form.Set("scope", strings.Join(slices.Compact(slices.Sorted(slices.Values(t.Scopes))), " "))
	}
	return form.Encode()
}

func (t Target) check() error {
	if len(t.Resources) == 0 && len(t.Scopes) == 0 {
		return errors.New("the target is empty: name a resource or a scope")
	}
	for i, r := range t.Resources {
		if fault := resourceFault(r); fault != "" {
			return fmt.Errorf("Resources[%d] %s", i, fault)
		}
	}
	for i, scope := range t.Scopes {
		if !isScope(scope) {
			return fmt.Errorf("Scopes[%d] is empty or has a character that no scope has", i)
		}
	}
	return nil
}

// within says why t can't be had of a session for the resources, if those are known. It is
// not left to the server: some spend the refresh token before they look, and answer
// invalid_target without another.
func (t Target) within(resources []string) error {
	for i, r := range t.Resources {
		if len(resources) > 0 && !slices.Contains(resources, r) {
			return fmt.Errorf("Resources[%d] is not one of Config.Resources, for which users sign in: add it there, and have them sign in again", i)
		}
	}
	return nil
}

// resourceFault says what keeps raw from naming a resource (RFC 8707 §2), or nothing.
func resourceFault(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" && u.Path == "":
		return "is no absolute URI: write it as the server names the API, such as https://api.example.com"
	case u.User != nil:
		return "has a user name or password in it: take it out"
	case strings.Contains(raw, "#"):
		return "has a fragment: take it out, from the # on"
	}
	return ""
}

// origins returns where the tokens may go, nil for where those of the session may.
func (t Target) origins() []string {
	if len(t.Origins) > 0 {
		return t.Origins
	}
	var origins []string
	for _, r := range t.Resources {
		if u, err := url.Parse(r); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
			origins = append(origins, u.Scheme+"://"+u.Host)
		}
	}
	return origins
}

// transportFor returns the Transport of a view.
func (c *Config) transportFor(t Target, source *transport.Source) (*transport.Transport, error) {
	cfg := c.transportConfig(source)
	cfg.Target = t.String()
	if origins := t.origins(); origins != nil {
		cfg.Origins = origins
	}
	return transport.New(cfg)
}

// aim puts into the form of a token request what the token is for: target, or what the
// configuration has.
func (e *tokenEndpoint) aim(form url.Values, old *tokenstore.Record, target string) {
	wanted, err := url.ParseQuery(target)
	if err != nil || target == "" { // RFC 8707 §2.2
		if len(e.resources) > 0 && !form.Has("resource") {
			form["resource"] = slices.Clone(e.resources)
		}
		return
	}
	for _, name := range []string{"resource", "scope"} {
		if values := wanted[name]; len(values) > 0 {
			form[name] = values
		}
	}
	if e.grant.refreshable() && form.Has("scope") && old.Scope != "" {
		narrow(form, old.Scope)
	}
}

// over returns the Transport of the session, which sends through base unless that is nil.
func (s *Session) over(base http.RoundTripper) *transport.Transport {
	t := s.view
	if t == nil {
		t = s.client.transport.With(s.source)
	}
	if base != nil {
		t = t.Over(s.client.endpoint.keys.over(base))
	}
	return t
}
