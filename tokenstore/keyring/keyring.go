package keyring

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/freshet-go/freshet/tokenstore"
)

// Config says where the key is and where the records are. It is not changed.
type Config struct {
	// Service is the name of the program in the keyring, such as
	// "com.example.backup": 1 to 64 ASCII letters, digits, '.', '-' or '_'.
	Service string

	// Store keeps what is sealed. It has another record for each key, named
	// "freshet-keyring." and the key's name, which says what the keyring has it
	// under. So every store has keys of its own, and a copy of it opens where the
	// keyring has them.
	Store tokenstore.Store

	// Keys are the names of the keys, as of those given to
	// [tokenstore.NewSealed]: the first seals, all open, and a key is rotated in
	// the steps that [tokenstore.Sealed] lists. A name has 1 to 16 characters of
	// those that Service may have; the year is a good one. The keyring keeps a
	// key whose name is gone until somebody removes it. If empty, there is one key,
	// named "key".
	Keys []string
}

// ErrUnavailable says that the keyring can't be used: there is none or it does
// not answer, it is locked or asks for a password that nobody enters, or it
// refuses. The error tells which, as far as the system does. If it is that of the
// context, too, time ran out.
var ErrUnavailable = errors.New("keyring: the system's keyring can't be used")

// A LostKeyError says that a store has been sealed with a key that the keyring
// does not have. It may be that of another user or machine, was reset, or the
// store was sealed with a key from elsewhere. To begin anew, remove everything in
// the store: its accounts have to log in again.
type LostKeyError struct {
	Service string // of the Config
	ID      string // of the key
}

func (e *LostKeyError) Error() string {
	return fmt.Sprintf("keyring: the store is sealed with key %q, which the keyring does not have for %q: open the keyring that has it, or remove everything in the store and log in again", e.ID, e.Service)
}

// Open returns the store that seals cfg.Store with keys from the keyring. A key
// that does not exist is made, once between all processes that share the store,
// unless there are records that none of the keys opens: that is a
// [LostKeyError].
//
// The keyring may ask the user for a password, and Open waits for that until ctx
// is over; give it a deadline where nobody may be there. The keyring is asked by
// Open alone, so what it returns works on if the keyring is locked. Errors are
// [ErrUnavailable], [LostKeyError] or those of cfg.Store; a record that says
// where the key is and was damaged is [tokenstore.ErrCorrupt].
//
// In one process the keyring is asked one thing at a time. What it has not
// answered when ctx ends stays asked, with the prompt that may belong to it, and
// the next Open waits for its answer.
func Open(ctx context.Context, cfg Config) (*tokenstore.Sealed, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	keys, err := cfg.keys(ctx)
	if err != nil {
		return nil, err
	}
	return tokenstore.NewSealed(records{cfg.Store}, keys...)
}

const (
	maxService = 64
	maxName    = 16
)

func (c Config) check() error {
	var problems []error
	if !validName(c.Service, maxService) {
		problems = append(problems, fmt.Errorf("keyring: Config.Service is %q, want 1 to %d letters, digits, '.', '-' or '_'", c.Service, maxService))
	}
	if c.Store == nil {
		problems = append(problems, errors.New("keyring: Config.Store is nil; tokenstore.Dir is one"))
	}
	for i, name := range c.Keys {
		if !validName(name, maxName) {
			problems = append(problems, fmt.Errorf("keyring: Config.Keys[%d] is %q, want 1 to %d letters, digits, '.', '-' or '_'", i, name, maxName))
		}
	}
	return errors.Join(problems...)
}

// validName reports whether name has 1 to most characters, all of them such that
// no shell, no command of macOS's security and no name of Windows's Credential
// Manager gives them a meaning.
func validName(name string, most int) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return name != "" && len(name) <= most && name[0] != '-' &&
		strings.Trim(name, letters+"ABCDEFGHIJKLMNOPQRSTUVWXYZ"+"0123456789.-_") == ""
}

// records is a store without the records that say where keys are. They are not
// listed, since they are no sessions.
type records struct{ tokenstore.Store }

func (r records) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for key, err := range tokenstore.Keys(ctx, r.Store) {
			if !strings.HasPrefix(key, pointerPrefix) && !yield(key, err) {
				return
			}
		}
	}
}
