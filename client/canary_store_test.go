package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/freshet-go/freshet/tokenstore"
)

// A leakyStore quotes the records that it could not write, or panics with them.
type leakyStore struct {
	tokenstore.Store

	mu      sync.Mutex // guards what follows
	trouble func(record []byte) error
	last    tokenstore.Record // what it was to write last
	seen    canaries          // the secrets of every record
}

// setTrouble makes f what becomes of writing; nil writes.
func (s *leakyStore) setTrouble(f func(record []byte) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = f
}

func (s *leakyStore) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	return s.Store.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
		record, err := next(ctx, old)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		trouble := s.trouble
		s.see(record)
		s.mu.Unlock()
		if trouble != nil {
			err = trouble(record)
		}
		return record, err
	})
}

// see is called with s.mu held.
func (s *leakyStore) see(record []byte) {
	rec, err := tokenstore.DecodeRecord(record)
	if err != nil {
		panic("the record that is to be written is none")
	}
	s.last = rec
	for name, secret := range secretsIn(rec) {
		s.seen[fmt.Sprintf("%s of session %s, generation %d", name, rec.Session, rec.Generation)] = secret
	}
}

// secretsIn returns the secrets of a record.
func secretsIn(rec tokenstore.Record) canaries {
	c := canaries{"refresh token": rec.RefreshToken.Reveal(), "id_token": rec.IDToken.Reveal(), "key": rec.DPoPKey.Reveal(), "device_secret": strings.Trim(rec.Extra["device_secret"].Reveal(), `"`)}
	for _, t := range rec.Access {
		c["access token"] = t.Token.Reveal()
	}
	for name, secret := range c {
		if secret == "" {
			delete(c, name)
		}
	}
	return c
}

var errDatabase = errors.New("no connection to the database")

// quoting returns trouble that quotes the record in the given format.
func quoting(format string) func([]byte) error {
	return func(record []byte) error { return fmt.Errorf("%w: INSERT "+format, errDatabase, record) }
}
