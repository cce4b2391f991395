package tokenstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Sealed is a [Store] that encrypts the records of another one, with AES-256-GCM.
// [NewSealed] makes it. It is safe for concurrent use, and excludes others and
// lists keys as well as the store that it is around.
//
// The first key seals, and all of them open. So a key is rotated in steps:
//
//  1. Every process gets the new key behind the old one.
//  2. Every process gets the new key first. From now on a record is sealed with
//     it when it is next written, which for most is at the next refresh.
//  3. Once no record is left that the old key has sealed, it goes. An Update
//     whose function returns its old record seals it anew.
//
// With a single process the first step is not needed. A key that is lost costs
// the sessions that it has sealed: their accounts have to log in again.
//
// A record is bound to its key in the store and opens under no other name, but
// whoever can write to the store can still remove it, or put back an older one
// of the same name. Give each store keys of its own. The keys' names, the size
// of a record and the id of its key are in the clear. A key must not seal more
// than 2^32 records, because nonces are random (NIST SP 800-38D §8.3): at a
// million writes a day that is eleven years.
//
// What is sealed is bytes, and no text. It is longer than the record, so a
// record may have 128 bytes fewer than [MaxRecord]; more is [ErrTooLarge].
type Sealed struct {
	// DangerouslyOpenPlaintext makes records that are not sealed readable, so
	// that encryption can be switched on in a store that is in use: they are
	// sealed when they are next written. Meanwhile whoever can write to the
	// store can plant a session of his own. Set it before the Sealed is used,
	// and take it out once every record is sealed. Programs without the key
	// can't read what is sealed: switch them all at once.
	//
	// If false, a record that is not sealed is [ErrPlaintext].
	DangerouslyOpenPlaintext bool

	store Store
	keys  []SealKey
}

// ErrPlaintext says that a record is there as it was before there was a
// [Sealed]. It is [ErrCorrupt] too: who can write to the store could have put
// it there.
var ErrPlaintext = fmt.Errorf("%w: it is in plain text and not sealed; Sealed.DangerouslyOpenPlaintext lets it in", ErrCorrupt)

// An UnknownKeyError says that a record is sealed with a key that the [Sealed]
// does not have. It is [ErrCorrupt] too, but the way to mend it is to configure
// the key.
type UnknownKeyError struct {
	ID string // of the key, as the record says
}

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("tokenstore: record is sealed with key %q, which is not among the keys given to NewSealed", e.ID)
}

// Unwrap returns [ErrCorrupt].
func (e *UnknownKeyError) Unwrap() error { return ErrCorrupt }

// sealedRoom is how much longer than a record its sealed form may be. It does
// not depend on the key, so that no rotation makes a record too large.
const sealedRoom = 128

// NewSealed returns a Sealed around store. The first key seals, all open. It is
// an error if there is none, or if two have the same id.
func NewSealed(store Store, keys ...SealKey) (*Sealed, error) {
	if store == nil {
		return nil, errors.New("tokenstore: NewSealed without a store")
	}
	if len(keys) == 0 {
		return nil, errors.New("tokenstore: NewSealed without a key; see GenerateSealKey")
	}
	for i, k := range keys {
		if k.IsZero() {
			return nil, fmt.Errorf("tokenstore: NewSealed: key %d of %d is the zero SealKey", i+1, len(keys))
		}
		if slices.ContainsFunc(keys[:i], func(other SealKey) bool { return other.id == k.id }) {
			return nil, fmt.Errorf("tokenstore: NewSealed: two keys have the id %q", k.id)
		}
	}
	return &Sealed{store: store, keys: slices.Clone(keys)}, nil
}

// Load implements [Store]. A record that does not open is [ErrCorrupt] and stays
// as it is: see [UnknownKeyError] and [ErrPlaintext] for two of the reasons.
func (s *Sealed) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	sealed, err := s.store.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	return s.open(key, sealed)
}

// Update implements [Store]. What it writes is sealed with the first key.
//
// If the record does not open, next gets bytes that are not nil and that
// [DecodeRecord] refuses as [ErrCorrupt], because a login has to be able to
// replace such a record and a refresh must not. Where next returns an error
// that is ErrCorrupt, that of Update says why it did not open, and wraps the one
// of next. What has these bytes in it is not written, and gives the same error.
// For a record that is [ErrVersion] next is not called.
func (s *Sealed) Update(ctx context.Context, key string, next func(ctx context.Context, old []byte) ([]byte, error)) error {
	if err := s.usable(); err != nil {
		return err
	}
	return s.store.Update(ctx, key, func(ctx context.Context, sealed []byte) ([]byte, error) {
		old, why := s.openOld(key, sealed)
		if errors.Is(why, ErrVersion) {
			return nil, why
		}
		record, err := next(ctx, old)
		switch {
		case why != nil && errors.Is(err, ErrCorrupt):
			return nil, fmt.Errorf("%w: %w", why, err)
		case err != nil:
			return nil, err
		case why != nil && bytes.Contains(record, unopened(sealed)):
			return nil, why
		}
		return s.seal(key, record)
	})
}

// Delete implements [Store]. It needs no key.
func (s *Sealed) Delete(ctx context.Context, key string) error {
	if err := s.usable(); err != nil {
		return err
	}
	return s.store.Delete(ctx, key)
}

// Keys returns the keys of the store that s is around; see [Keys].
func (s *Sealed) Keys(ctx context.Context) iter.Seq2[string, error] {
	if err := s.usable(); err != nil {
		return func(yield func(string, error) bool) { yield("", err) }
	}
	return Keys(ctx, s.store)
}

func (s *Sealed) usable() error {
	if s.store == nil {
		return errors.New("tokenstore: Sealed was not made by NewSealed")
	}
	return nil
}

// open returns the record that is sealed under the store's key of that name.
// Every error is ErrCorrupt.
func (s *Sealed) open(name string, sealed []byte) ([]byte, error) {
	rest, isSealed := bytes.CutPrefix(sealed, []byte(sealedPrefix))
	if !isSealed {
		return s.plaintext(sealed)
	}
	header, _, whole := bytes.Cut(rest, []byte("\n"))
	version, id, _ := strings.Cut(string(header), " ")
	if v, _ := strconv.Atoi(version); v > sealedVersion {
		return nil, fmt.Errorf("%w: sealed in format %d, and this program reads %d", ErrVersion, v, sealedVersion)
	}
	if !whole || version != strconv.Itoa(sealedVersion) || !validSealID(id) {
		return nil, corrupt(sealed, "the header of a sealed record is damaged")
	}
	for _, k := range s.keys {
		if k.id == id {
			return k.open(name, sealed)
		}
	}
	return nil, &UnknownKeyError{id}
}

// plaintext returns b, which is not sealed, if it is let in.
func (s *Sealed) plaintext(b []byte) ([]byte, error) {
	_, err := DecodeRecord(b)
	switch {
	case errors.Is(err, ErrVersion):
		return nil, err
	case err != nil:
		return nil, corrupt(b, "not a sealed record")
	case !s.DangerouslyOpenPlaintext:
		return nil, ErrPlaintext
	}
	return bytes.Clone(b), nil
}

// openOld returns what the function of an Update gets, and why that is not the
// record.
func (s *Sealed) openOld(name string, sealed []byte) (old []byte, why error) {
	if sealed == nil {
		return nil, nil
	}
	if old, why = s.open(name, sealed); why != nil {
		return unopened(sealed), why
	}
	return old, nil
}

// unopened returns what stands for a record that did not open: its bytes, behind
// a word with which no record begins. Without that, a session that somebody has
// planted in plain text would be read as one. The bytes are there so that a
// function which a store calls again can tell whether they are the same.
func unopened(sealed []byte) []byte { return append([]byte("unopened "), sealed...) }

// seal returns record sealed with the first key, for the store's key of that
// name.
func (s *Sealed) seal(name string, record []byte) ([]byte, error) {
	if len(record) > MaxRecord-sealedRoom {
		return nil, fmt.Errorf("%w: %d bytes, and %d can be sealed", ErrTooLarge, len(record), MaxRecord-sealedRoom)
	}
	return s.keys[0].seal(name, record)
}
