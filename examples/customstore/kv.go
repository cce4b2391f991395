package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// errRefused says that the lease is another's, or not ours any more.
var errRefused = errors.New("kv: the key is leased to another")

// lock waits for a lease of key. It ends no later at the service than here: its
// time is counted from before it was asked for.
func (s *Store) lock(ctx context.Context, key string) (lease string, ends time.Time, err error) {
	if err := errors.Join(ctx.Err(), tokenstore.CheckKey(key)); err != nil {
		return "", ends, err
	}
	lease = rand.Text()
	for {
		ends = time.Now().Add(s.Lease)
		_, err := s.call(ctx, "PUT", "/lease", key, lease, nil)
		if err == nil {
			return lease, ends, nil
		}
		if errors.Is(err, errRefused) {
			err = sleep(ctx, 5*time.Millisecond+mathrand.N(20*time.Millisecond))
		}
		if err != nil {
			s.unlock(key, lease) // the service may have given it, and the answer was lost
			return "", ends, fmt.Errorf("kv: waiting for key %q: %w", key, err)
		}
	}
}

// unlock gives the lease back. Where that fails it ends by itself.
func (s *Store) unlock(key, lease string) {
	s.call(context.Background(), "DELETE", "/lease", key, lease, nil)
}

// call sends one request to the service.
func (s *Store) call(ctx context.Context, method, path, key, lease string, record []byte) ([]byte, error) {
	query := url.Values{"key": {s.Prefix + "/" + key}, "lease": {lease}, "for": {s.Lease.String()}}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path+"?"+query.Encode(), bytes.NewReader(record))
	if err != nil {
		return nil, err
	}
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return io.ReadAll(io.LimitReader(resp.Body, tokenstore.MaxRecord+1))
	case http.StatusNotFound:
		return nil, tokenstore.ErrNotFound
	case http.StatusConflict:
		return nil, errRefused
	}
	return nil, fmt.Errorf("kv: the service answered %s", resp.Status)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return ctx.Err()
}
