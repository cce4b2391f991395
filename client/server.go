package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/freshet-go/freshet/transport"
)

// endpoints is what is known of a server.
type endpoints struct {
	authorization, token, revocation, device, pushed string

	mustPush bool // RFC 9126 §5
	tellsIss bool // RFC 9207 §3
	s256     bool // RFC 8414 §2: PKCE is announced
}

// over returns e with what is missing in it taken from other.
func (e endpoints) over(other endpoints) endpoints {
	other.authorization = cmp.Or(e.authorization, other.authorization)
	other.token = cmp.Or(e.token, other.token)
	other.revocation = cmp.Or(e.revocation, other.revocation)
	other.device = cmp.Or(e.device, other.device)
	other.pushed = cmp.Or(e.pushed, other.pushed)
	other.s256 = e.s256 || other.s256
	return other
}

// sameURLs reports whether e and other are at the same places.
func (e endpoints) sameURLs(other endpoints) bool {
	other.mustPush, other.tellsIss, other.s256 = e.mustPush, e.tellsIss, e.s256
	return e == other
}

// A server knows where the endpoints of an authorization server are: from the
// configuration, or from the server's metadata (RFC 8414, OpenID Connect Discovery),
// which it reads when they are first needed.
//
// The endpoints of the first document stay for as long as the Client lives: a later
// document that names others may be an attacker's, and is not used. So a refresh never
// reads the document again, and a login does only to learn what has been added.
type server struct {
	issuer string // empty if there is nothing to read
	fixed  endpoints
	tls    bool // the client authenticates by mutual TLS
	base   http.RoundTripper
	guard  *guard // nil unless base is the client's own
	limit  time.Duration
	log    *slog.Logger

	turn   chan struct{} // holds a value while what follows is used
	known  *endpoints
	at     time.Time // when known was read, or tried to be
	failed time.Time // when reading it failed last
	err    error     // … and how
	warned bool      // of a document with other endpoints
}

// metadataAge is how old the metadata may be with which a login begins.
const metadataAge = time.Hour

// find returns the endpoints, of a document of any age.
func (s *server) find(ctx context.Context) (endpoints, error) { return s.read(ctx, 1<<62) }

// findFresh returns the endpoints for a login.
func (s *server) findFresh(ctx context.Context) (endpoints, error) { return s.read(ctx, metadataAge) }

// read returns the endpoints; those of a document are no older than age, if the server
// answers. Of callers at the same time one reads it, and its failure is that of all.
func (s *server) read(ctx context.Context, age time.Duration) (endpoints, error) {
	if s.issuer == "" {
		return s.fixed, nil
	}
	began := time.Now()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return endpoints{}, s.transient(ctx.Err())
	}
	switch {
	case s.known != nil && time.Since(s.at) < age:
		return *s.known, nil
	case s.known == nil && s.failed.After(began):
		return endpoints{}, s.err
	}
	doc, err := s.fetch(ctx)
	switch {
	case err == nil:
		s.learn(doc)
	case s.known != nil:
		s.at = time.Now() // what is known goes on, and is not asked for at every login
		s.log.Warn("freshet: the server's metadata can't be read again", "err", err)
	case ctx.Err() != nil:
		return endpoints{}, err // the next one's context may last
	default:
		s.failed, s.err = time.Now(), err
		return endpoints{}, err
	}
	return *s.known, nil
}

// learn takes in a document.
func (s *server) learn(doc endpoints) {
	s.at = time.Now()
	all := s.fixed.over(doc)
	if s.known == nil || s.known.sameURLs(all) {
		s.known = &all
		s.guard.named(doc)
		return
	}
	if !s.warned {
		s.warned = true
		s.log.Warn("freshet: the server's metadata names other endpoints than before; they are not used before the program starts again")
	}
}

// fetch reads the document from the first place that has one (RFC 8414 §3.1, OpenID
// Connect Discovery §4.1). Only from an answer that there is none it goes on to the
// next: a server that is out of order must not make another document the one.
func (s *server) fetch(ctx context.Context) (endpoints, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	places := metadataURLs(s.issuer)
	for _, place := range places {
		status, text, err := s.get(ctx, place)
		switch {
		case err != nil:
			return endpoints{}, s.transient(newNetError(ctx, "metadata of the server", place, err))
		case missing(status):
			continue
		case status != http.StatusOK:
			return endpoints{}, s.transient(fmt.Errorf("client: the server's metadata at %s: status %d", shownURL(place), status))
		}
		doc, err := readMetadata(text, s.issuer, s.tls)
		if err != nil {
			return endpoints{}, s.wrong(fmt.Errorf("client: the server's metadata at %s: %w", shownURL(place), err))
		}
		return doc, nil
	}
	return endpoints{}, s.wrong(fmt.Errorf("client: the server has no metadata at %s or %s: check Config.Issuer, or set Config.Endpoint for a server without", shownURL(places[0]), shownURL(places[1])))
}

func (s *server) transient(err error) error {
	return &transport.RefreshError{Kind: transport.Transient, Err: err}
}

func (s *server) wrong(err error) error {
	return &transport.RefreshError{Kind: transport.Misconfigured, Err: err}
}

// get reads one place. No redirect is followed but one that only adds a slash to the
// path, as servers of Django answer.
func (s *server) get(ctx context.Context, place string) (status int, text []byte, err error) {
	for {
		resp, err := s.ask(ctx, place)
		if err != nil {
			return 0, nil, err
		}
		slash := resp.StatusCode/100 == 3 && addsSlash(place, resp.Header.Get("Location"))
		if !slash {
			defer resp.Body.Close()
			text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
			return resp.StatusCode, text, err
		}
		resp.Body.Close()
		place += "/"
	}
}

func (s *server) ask(ctx context.Context, place string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, errNoRequest
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.base.RoundTrip(req)
	if err == nil && (resp == nil || resp.Body == nil) {
		err = errNoAnswer
	}
	return resp, err
}

// addsSlash reports whether location, as an answer to place, only adds a slash.
func addsSlash(place, location string) bool {
	from, err := url.Parse(place)
	if err != nil || place[len(place)-1] == '/' {
		return false
	}
	to, err := from.Parse(location)
	return err == nil && to.String() == place+"/"
}

// missing reports whether a server says with status that there is no such document:
// 404 and 410 do, and so do the others at servers that don't know the path.
func missing(status int) bool {
	switch status {
	case http.StatusNotFound, http.StatusGone, http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed:
		return true
	}
	return false
}

var errNoEndpoint = errors.New("the server's metadata does not name it, and Config does not either")
