package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// A Store keeps one small record under each key. It is safe for concurrent use.
// Keys are 1 to 255 printable ASCII characters without space; see [CheckKey].
//
// A store knows nothing of OAuth: records are bytes to it, at most [MaxRecord]
// of them, so that encryption can be a decorator and an adapter for a database
// stays a page long. An empty record is a record, and not the same as none; a
// nil slice that next returns is an empty record.
//
// Package storetest tests what is said here, but for what only the failures of a
// database show.
type Store interface {
	// Load returns the record under key, or an error that is [ErrNotFound].
	// The bytes are the caller's. Load does not wait for an Update; it sees
	// what every Update that has returned nil has written.
	Load(ctx context.Context, key string) ([]byte, error)

	// Update replaces the record under key by what next makes of it; old is
	// nil where there is none, and next's to keep. While next runs no other
	// Update of that key runs, in this process or in any other that shares the
	// store. Other keys are not held up. next is called once at most: it may
	// send a refresh token that works once.
	//
	// ctx bounds the wait for that exclusion: if it is over before, next is not
	// called, and the error is that of ctx. The context that next gets has the
	// values of ctx, does not end with it, and ends when the exclusion may end.
	//
	// Once next has returned a record, writing it is tried even if ctx is
	// over, and tried again, the exclusion held, until the record is durable
	// (Update returns nil), the exclusion is lost ([ErrConflict]: nothing was
	// written) or ctx is over. An error of next changes nothing and is
	// returned as it is; [ErrUnchanged] writes nothing and gives nil. A next
	// that panics or calls [runtime.Goexit] changes nothing, and frees the key.
	// After any other error that follows next, whether the record was written
	// is unknown: Load tells.
	Update(ctx context.Context, key string, next func(ctx context.Context, old []byte) ([]byte, error)) error

	// Delete removes what is under key, readable or not, when no Update of the
	// key runs; ctx bounds the wait for that. Nothing there is no error.
	Delete(ctx context.Context, key string) error
}

var (
	// ErrNotFound says that there is no record under the key.
	ErrNotFound = errors.New("tokenstore: no record")

	// ErrConflict says that Update lost its exclusion before it could write,
	// and wrote nothing.
	ErrConflict = errors.New("tokenstore: exclusion lost, nothing written")

	// ErrUnchanged is what the function given to Update returns to leave the
	// record as it is; Update then returns nil.
	ErrUnchanged = errors.New("tokenstore: unchanged")

	// ErrCorrupt says that what is stored can't be read as a record. The bytes
	// stay where they are.
	ErrCorrupt = errors.New("tokenstore: corrupt record")

	// ErrVersion says that a record was written by a newer version of this
	// package. It is [ErrCorrupt], too; not even a login replaces it.
	ErrVersion = fmt.Errorf("%w: of a newer version", ErrCorrupt)

	// ErrKey says that a key is not one; see [CheckKey].
	ErrKey = errors.New("tokenstore: bad key")

	// ErrTooLarge says that a record has more than [MaxRecord] bytes.
	ErrTooLarge = errors.New("tokenstore: record too large")
)

// MaxRecord is the size in bytes that a record may have: 1 MiB.
const MaxRecord = 1 << 20

// maxKey is the length in bytes that a key may have.
const maxKey = 255

// CheckKey returns an error that is [ErrKey] unless key has 1 to 255 bytes,
// each a printable ASCII character and none a space.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > maxKey {
		return fmt.Errorf("%w: length %d, want 1 to %d", ErrKey, len(key), maxKey)
	}
	if i := firstInvisible(key); i >= 0 {
		return fmt.Errorf("%w: byte %#02x at %d is not printable ASCII", ErrKey, key[i], i)
	}
	return nil
}

// firstInvisible returns the index of the first byte of s that is not a visible
// ASCII character (%x21-7E), or -1.
func firstInvisible(s string) int {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return i
		}
	}
	return -1
}

// Keys returns the keys of s, in no particular order, if s has the optional
// method
//
//	Keys(ctx context.Context) iter.Seq2[string, error]
//
// and otherwise an error that is [errors.ErrUnsupported]. After an error the
// sequence ends. A key that comes or goes meanwhile may be in it or not.
func Keys(ctx context.Context, s Store) iter.Seq2[string, error] {
	if lister, ok := s.(interface {
		Keys(context.Context) iter.Seq2[string, error]
	}); ok {
		return lister.Keys(ctx)
	}
	return func(yield func(string, error) bool) {
		yield("", fmt.Errorf("tokenstore: %T can't list its keys: %w", s, errors.ErrUnsupported))
	}
}
