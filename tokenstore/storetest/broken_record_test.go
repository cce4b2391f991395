package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/freshet-go/freshet/tokenstore"
)

// onMemory makes a broken store of a Memory.
func onMemory(name, fails string, change func(m *tokenstore.Memory, c *changed)) broken {
	return broken{name, fails, false, func(string) tokenstore.Store {
		m := new(tokenstore.Memory)
		c := &changed{Store: m}
		change(m, c)
		return c
	}}
}

// onNext makes a broken store of a Memory and of what becomes of the function of
// an Update.
func onNext(name, fails string, change func(f next) next) broken {
	return onMemory(name, fails, func(m *tokenstore.Memory, c *changed) {
		c.update = func(ctx context.Context, key string, f next) error { return m.Update(ctx, key, change(f)) }
	})
}

// onRecord makes one that keeps something else than the record.
func onRecord(name, fails string, change func(record []byte) []byte) broken {
	return onNext(name, fails, func(f next) next {
		return func(ctx context.Context, old []byte) ([]byte, error) {
			record, err := f(ctx, old)
			if err != nil {
				return nil, err
			}
			return change(record), nil
		}
	})
}

func brokenRecords() []broken {
	return []broken{
		onMemory("driver-error", "not-found", func(m *tokenstore.Memory, c *changed) {
			c.load = func(ctx context.Context, key string) ([]byte, error) {
				record, err := m.Load(ctx, key)
				if errors.Is(err, tokenstore.ErrNotFound) {
					err = errors.New("sql: no rows in result set")
				}
				return record, err
			}
		}),
		onNext("no-truncate", "load-after-update", func(f next) next {
			return func(ctx context.Context, old []byte) ([]byte, error) {
				record, err := f(ctx, bytes.Clone(old))
				if len(record) < len(old) {
					record = append(record, old[len(record):]...)
				}
				return record, err
			}
		}),
		onNext("empty-for-none", "old", func(f next) next {
			return func(ctx context.Context, old []byte) ([]byte, error) { return f(ctx, append([]byte{}, old...)) }
		}),
		onMemory("none-for-empty", "empty-record", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				return m.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
					return f(ctx, append([]byte(nil), old...))
				})
			}
		}),
		onNext("nil-is-null", "empty-record", func(f next) next {
			return func(ctx context.Context, old []byte) ([]byte, error) {
				record, err := f(ctx, old)
				if record == nil && err == nil {
					err = errors.New("NOT NULL constraint failed")
				}
				return record, err
			}
		}),
		onMemory("wraps-error", "error-of-next", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				err := m.Update(ctx, key, f)
				if err != nil {
					err = fmt.Errorf("update: %w", err)
				}
				return err
			}
		}),
		onMemory("writes-with-error", "error-of-next", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				var failed error
				err := m.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
					record, err := f(ctx, old)
					if err != nil && !errors.Is(err, tokenstore.ErrUnchanged) && !errors.Is(err, tokenstore.ErrKey) {
						failed, err = err, nil
					}
					return record, err
				})
				return errors.Join(err, failed)
			}
		}),
		onMemory("leaves-row", "error-of-next", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				var failed error
				err := m.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
					var record []byte
					record, failed = f(ctx, old)
					if failed != nil && !errors.Is(failed, tokenstore.ErrUnchanged) && old == nil {
						return nil, nil
					}
					return record, failed
				})
				if failed != nil && !errors.Is(failed, tokenstore.ErrUnchanged) {
					return failed
				}
				return err
			}
		}),
		onNext("runs-again", "once", func(f next) next {
			return func(ctx context.Context, old []byte) ([]byte, error) {
				if record, err := f(ctx, bytes.Clone(old)); err != nil {
					return record, err
				}
				return f(ctx, old)
			}
		}),
		onNext("writes-unchanged", "unchanged", func(f next) next {
			return func(ctx context.Context, old []byte) ([]byte, error) {
				record, err := f(ctx, old)
				if record != nil && errors.Is(err, tokenstore.ErrUnchanged) {
					err = nil
				}
				return record, err
			}
		}),
		onRecord("64-KiB-column", "max-record", func(record []byte) []byte {
			if len(record) <= tokenstore.MaxRecord {
				record = record[:min(len(record), 64<<10)]
			}
			return record
		}),
		onMemory("own-too-large", "too-large", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				err := m.Update(ctx, key, f)
				if errors.Is(err, tokenstore.ErrTooLarge) {
					err = errors.New("packet too large")
				}
				return err
			}
		}),
		onRecord("text-column", "bytes", func(record []byte) []byte { return bytes.ToValidUTF8(record, []byte("\ufffd")) }),
		onRecord("padded-column", "bytes", func(record []byte) []byte { return bytes.TrimRight(record, " ") }),
		onRecord("C-strings", "bytes", func(record []byte) []byte { record, _, _ = bytes.Cut(record, []byte{0}); return record }),
		aliases("keeps-given", func(a *aliasing) { a.keepsGiven = true }),
		aliases("loads-own", func(a *aliasing) { a.loadsOwn = true }),
		aliases("gives-own", func(a *aliasing) { a.givesOwn = true }),
		aliases("buffer-again", func(a *aliasing) { a.buffer = make([]byte, 0, 1<<20) }),
		onMemory("delete-needs-row", "delete", func(m *tokenstore.Memory, c *changed) {
			c.remove = func(ctx context.Context, key string) error {
				if _, err := m.Load(ctx, key); err != nil {
					return err
				}
				return m.Delete(ctx, key)
			}
		}),
	}
}

func aliases(name string, set func(a *aliasing)) broken {
	return broken{name, "copies", false, func(string) tokenstore.Store {
		a := &aliasing{records: make(map[string][]byte)}
		set(a)
		return a
	}}
}

// aliasing is a store that is whole but for its copies.
type aliasing struct {
	keepsGiven, loadsOwn, givesOwn bool
	buffer                         []byte // if there is one, old is given in it

	tokenstore.Memory // only for exclusion
	mu                sync.Mutex
	records           map[string][]byte
}

func (a *aliasing) get(key string, own bool) ([]byte, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	record, found := a.records[key]
	if found && !own {
		record = append([]byte{}, record...)
	}
	return record, found
}

func (a *aliasing) Load(ctx context.Context, key string) ([]byte, error) {
	if err := tokenstore.CheckKey(key); err != nil {
		return nil, err
	}
	record, found := a.get(key, a.loadsOwn)
	if !found {
		return nil, tokenstore.ErrNotFound
	}
	return record, nil
}

func (a *aliasing) Update(ctx context.Context, key string, f next) error {
	return a.Memory.Update(ctx, key, func(ctx context.Context, _ []byte) ([]byte, error) {
		old, found := a.get(key, a.givesOwn)
		if found && a.buffer != nil && key == "k" {
			old = append(a.buffer, old...)
		}
		record, err := f(ctx, old)
		if err != nil {
			return nil, err
		}
		if len(record) > tokenstore.MaxRecord {
			return nil, tokenstore.ErrTooLarge
		}
		if !a.keepsGiven {
			record = append([]byte{}, record...)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.records[key] = record
		return nil, tokenstore.ErrUnchanged
	})
}

func (a *aliasing) Delete(ctx context.Context, key string) error {
	return a.Memory.Update(ctx, key, func(context.Context, []byte) ([]byte, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.records, key)
		return nil, tokenstore.ErrUnchanged
	})
}

func (a *aliasing) Keys(context.Context) iter.Seq2[string, error] {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys := slices.Collect(maps.Keys(a.records))
	return func(yield func(string, error) bool) {
		for _, key := range keys {
			if !yield(key, nil) {
				return
			}
		}
	}
}

// onKey makes a broken store that changes keys.
func onKey(name string, change func(key string) string) broken {
	return onMemory(name, "distinct-keys", func(m *tokenstore.Memory, c *changed) {
		to := func(key string) string {
			if tokenstore.CheckKey(key) != nil {
				return ""
			}
			return change(key)
		}
		c.load = func(ctx context.Context, key string) ([]byte, error) { return m.Load(ctx, to(key)) }
		c.update = func(ctx context.Context, key string, f next) error { return m.Update(ctx, to(key), f) }
		c.remove = func(ctx context.Context, key string) error { return m.Delete(ctx, to(key)) }
	})
}

func brokenKeys() []broken {
	return []broken{
		onMemory("load-any-key", "bad-keys", func(m *tokenstore.Memory, c *changed) {
			c.load = func(ctx context.Context, key string) ([]byte, error) {
				record, err := m.Load(ctx, key)
				if errors.Is(err, tokenstore.ErrKey) {
					err = tokenstore.ErrNotFound
				}
				return record, err
			}
		}),
		onMemory("delete-any-key", "bad-keys", func(m *tokenstore.Memory, c *changed) {
			c.remove = func(ctx context.Context, key string) error {
				err := m.Delete(ctx, key)
				if errors.Is(err, tokenstore.ErrKey) {
					err = nil
				}
				return err
			}
		}),
		onMemory("late-key-check", "bad-keys", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				if tokenstore.CheckKey(key) != nil {
					f(ctx, nil)
				}
				return m.Update(ctx, key, f)
			}
		}),
		onKey("ignores-case", strings.ToLower),
		onKey("cuts-keys", func(key string) string { return key[:min(len(key), 254)] }),
		onKey("no-slashes", func(key string) string { return strings.ReplaceAll(key, "/", "_") }),
		onKey("unescapes", func(key string) string { return strings.ReplaceAll(key, "%2e", ".") }),
		lists("lists-twice", func(m *tokenstore.Memory, _ []string) []string {
			var keys []string
			for key := range m.Keys(context.Background()) {
				keys = append(keys, key, key)
			}
			return keys
		}),
		lists("lists-deleted", func(_ *tokenstore.Memory, seen []string) []string { return seen }),
	}
}

// A lister is a store with a method Keys.
type lister struct {
	changed
	list func() []string
}

func (l *lister) Keys(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, key := range l.list() {
			if !yield(key, nil) {
				return
			}
		}
	}
}

// lists makes a broken store of which keys gives the keys, of a Memory and of
// the keys that records were written under.
func lists(name string, keys func(m *tokenstore.Memory, seen []string) []string) broken {
	return broken{name, "keys", false, func(string) tokenstore.Store {
		m := new(tokenstore.Memory)
		var mu sync.Mutex
		seen := make(map[string]bool)
		l := &lister{changed: changed{Store: m}}
		l.update = func(ctx context.Context, key string, f next) error {
			err := m.Update(ctx, key, f)
			if _, loadErr := m.Load(ctx, key); err == nil && loadErr == nil {
				mu.Lock()
				defer mu.Unlock()
				seen[key] = true
			}
			return err
		}
		l.list = func() []string {
			mu.Lock()
			defer mu.Unlock()
			return keys(m, slices.Collect(maps.Keys(seen)))
		}
		return l
	}}
}
