package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// A Store is a [tokenstore.Store] on a key-value service that several hosts reach.
// It is safe for concurrent use, and must not be changed once it is in use.
//
// Update holds a lease of the key while its function runs. Compare-and-swap of the
// record alone would not do: two hosts would both send the refresh token, which
// works once, and only afterwards one of them would learn that it may not write.
// Most servers take that for theft, and end the session.
type Store struct {
	URL    string        // of the service: https, unless it is on this machine
	Prefix string        // of the names that its records have there, without a slash
	Lease  time.Duration // how long a host that died keeps a key; longer than a refresh with its save takes
	HTTP   http.Client   // sends the requests; with a Timeout, or a service that hangs is waited for
}

// Load implements [tokenstore.Store]. It does not wait for an Update.
func (s *Store) Load(ctx context.Context, key string) ([]byte, error) {
	if err := tokenstore.CheckKey(key); err != nil {
		return nil, err
	}
	return s.call(ctx, "GET", "/record", key, "", nil)
}

// Update implements [tokenstore.Store].
func (s *Store) Update(ctx context.Context, key string, next func(ctx context.Context, old []byte) ([]byte, error)) error {
	lease, ends, err := s.lock(ctx, key)
	if err != nil {
		return err
	}
	defer s.unlock(key, lease) // whatever next does: return, panic or Goexit
	old, err := s.Load(ctx, key)
	if err != nil && !errors.Is(err, tokenstore.ErrNotFound) {
		return err
	}
	inner, cancel := context.WithDeadline(context.WithoutCancel(ctx), ends)
	defer cancel()
	record, err := next(inner, old)
	switch {
	case errors.Is(err, tokenstore.ErrUnchanged):
		return nil
	case err != nil:
		return err
	case len(record) > tokenstore.MaxRecord:
		return tokenstore.ErrTooLarge
	}
	return s.save(ctx, key, lease, record)
}

// Delete implements [tokenstore.Store]. It waits for an Update of the key.
func (s *Store) Delete(ctx context.Context, key string) error {
	lease, _, err := s.lock(ctx, key)
	if err != nil {
		return err
	}
	defer s.unlock(key, lease)
	_, err = s.call(ctx, "DELETE", "/record", key, lease, nil)
	return err
}

// save tries until the record is written, the lease is lost or ctx is over, but
// always once: the record may be the only copy of a refresh token. The service
// takes it under our lease alone, so a try that comes late harms nobody.
func (s *Store) save(ctx context.Context, key, lease string, record []byte) error {
	for try := 1; ; try++ {
		_, err := s.call(context.WithoutCancel(ctx), "PUT", "/record", key, lease, record)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errRefused) && try == 1:
			return tokenstore.ErrConflict // nothing was written
		case errors.Is(err, errRefused):
			return err // an earlier try may have been carried out, and its answer lost
		}
		if over := sleep(ctx, min(time.Duration(try)*100*time.Millisecond, 5*time.Second)); over != nil {
			return fmt.Errorf("%w (given up: %w)", err, over)
		}
	}
}
