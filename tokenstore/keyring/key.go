package keyring

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/freshet-go/freshet/tokenstore"
)

// A pointer is the record of a store that says what the keyring has a key under.
// It is an empty record that is sealed with that key, so that its header names
// the key's id, and that it opens proves that the keyring has the right one.
//
// Each key has a new random id, and with it a place of its own in the keyring.
// What is written there late, after whoever wanted it has given up, overwrites
// nothing: without its pointer it is never looked at. What counts is which
// pointer is there first, and that is decided by Update of the store.
const pointerPrefix = "freshet-keyring."

func pointer(name string) string { return pointerPrefix + name }

// defaultKeys are the names of the keys if Config has none.
var defaultKeys = []string{"key"}

// keys returns the keys, in their order, and makes those that are missing. All
// that exist are found before one is made: the others may have sealed what is in
// the store.
func (c Config) keys(ctx context.Context) ([]tokenstore.SealKey, error) {
	names := c.Keys
	if len(names) == 0 {
		names = defaultKeys
	}
	keys := make([]tokenstore.SealKey, len(names))
	var known []tokenstore.SealKey
	for i, name := range names {
		key, err := c.find(ctx, name)
		if errors.Is(err, tokenstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		keys[i], known = key, append(known, key)
	}
	for i, name := range names {
		if !keys[i].IsZero() {
			continue
		}
		key, err := c.findOrMake(ctx, name, known)
		if err != nil {
			return nil, err
		}
		keys[i], known = key, append(known, key)
	}
	return keys, nil
}

// find returns the key of that name. The error is ErrNotFound if there is no
// pointer to it.
func (c Config) find(ctx context.Context, name string) (tokenstore.SealKey, error) {
	id, err := c.pointed(ctx, name)
	if err != nil {
		return tokenstore.SealKey{}, err
	}
	text, err := get(ctx, c.Service, id)
	if errors.Is(err, errNotKept) {
		return tokenstore.SealKey{}, &LostKeyError{c.Service, id}
	}
	if err != nil {
		return tokenstore.SealKey{}, err
	}
	key, err := tokenstore.ParseSealKey(id, text)
	if err != nil {
		return tokenstore.SealKey{}, &LostKeyError{c.Service, id} // somebody has edited it
	}
	sealed, err := tokenstore.NewSealed(c.Store, key)
	if err != nil {
		return tokenstore.SealKey{}, err
	}
	if _, err := sealed.Load(ctx, pointer(name)); err != nil {
		return tokenstore.SealKey{}, err
	}
	return key, nil
}

// pointed returns the id of the key of that name. It asks the pointer with a key
// that nothing is sealed with.
func (c Config) pointed(ctx context.Context, name string) (id string, err error) {
	sealed, err := c.sealedWith(nil)
	if err != nil {
		return "", err
	}
	_, err = sealed.Load(ctx, pointer(name))
	if unknown, ok := errors.AsType[*tokenstore.UnknownKeyError](err); ok {
		return unknown.ID, nil
	}
	return "", err
}

// findOrMake returns the key of that name, and makes it if no pointer to it is
// there and what is sealed is sealed with those known. Records are looked at before
// the pointer, which is there before a key seals the first.
func (c Config) findOrMake(ctx context.Context, name string, known []tokenstore.SealKey) (tokenstore.SealKey, error) {
	lost := c.checkRecords(ctx, known)
	key, err := c.find(ctx, name)
	if !errors.Is(err, tokenstore.ErrNotFound) {
		return key, err
	}
	if lost != nil {
		return tokenstore.SealKey{}, lost
	}
	if err := c.make(ctx, name); err != nil {
		return tokenstore.SealKey{}, err
	}
	return c.find(ctx, name) // it may be that of another process
}

// make makes a key, and then the pointer to it unless another process was first.
// The keyring is waited for as long as the caller waits, the exclusion held, so
// that only one process asks the user.
func (c Config) make(ctx context.Context, name string) error {
	key, err := newKey(name)
	if err != nil {
		return err
	}
	sealed, err := tokenstore.NewSealed(c.Store, key)
	if err != nil {
		return err
	}
	return sealed.Update(ctx, pointer(name), func(_ context.Context, old []byte) ([]byte, error) {
		if old != nil {
			return nil, tokenstore.ErrUnchanged
		}
		return nil, put(ctx, c.Service, key)
	})
}

// checkRecords returns a LostKeyError if a record is sealed with a key that is
// not among these. Others that can't be read are no business of a key. A store
// that can't list its records has only the pointer to tell.
func (c Config) checkRecords(ctx context.Context, keys []tokenstore.SealKey) error {
	sealed, err := c.sealedWith(keys)
	if err != nil {
		return err
	}
	for key, err := range (records{c.Store}).Keys(ctx) {
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = sealed.Load(ctx, key)
		if unknown, ok := errors.AsType[*tokenstore.UnknownKeyError](err); ok {
			return &LostKeyError{c.Service, unknown.ID}
		}
		corrupt := errors.Is(err, tokenstore.ErrCorrupt) && !errors.Is(err, tokenstore.ErrVersion)
		if err != nil && !corrupt && !errors.Is(err, tokenstore.ErrNotFound) {
			return err
		}
	}
	return nil
}

// sealedWith returns a Sealed that opens what these keys have sealed. It has a
// key of no use, too, since it must have one.
func (c Config) sealedWith(keys []tokenstore.SealKey) (*tokenstore.Sealed, error) {
	none, err := newKey("none")
	if err != nil {
		return nil, err
	}
	return tokenstore.NewSealed(c.Store, append([]tokenstore.SealKey{none}, keys...)...)
}

// newKey returns a new key with an id that no other has: the name and 75 random
// bits.
func newKey(name string) (tokenstore.SealKey, error) {
	return tokenstore.GenerateSealKey(name + "-" + rand.Text()[:15])
}
