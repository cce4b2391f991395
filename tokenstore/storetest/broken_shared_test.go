package storetest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/freshet-go/freshet/tokenstore"
)

func brokenShared() []broken {
	return []broken{
		{"caches", "second-store", true, func(place string) tokenstore.Store { return caching(tokenstore.Dir(place)) }},
		{"lock-of-process", "stores-exclude", true, func(place string) tokenstore.Store {
			// A store excludes itself, the process excludes others.
			return locked{dataDir(place), both(lockIn(new(tokenstore.Memory)), processLock(place))}
		}},
		{"reads-before-it-locks", "processes-exclude", true, readsEarly},
		{"own-timeout-of-lock-file", "held-elsewhere", true, func(place string) tokenstore.Store {
			return locked{dataDir(place), both(inProcess(place), func(ctx context.Context, key string) (func(), error) {
				unlock, err := fileLock(place)(ctx, key)
				if err != nil {
					err = errors.New("locked by another process")
				}
				return unlock, err
			})}
		}},
		{"lock-file-stays", "killed-holder", true, func(place string) tokenstore.Store {
			return locked{dataDir(place), both(inProcess(place), func(ctx context.Context, key string) (func(), error) {
				return lockFile(ctx, filepath.Join(place, name(key)+".lock"))
			})}
		}},
		{"writes-in-place", "whole-records", true, func(place string) tokenstore.Store {
			return locked{inPlace{place, placeOf(place)}, fileLock(place)}
		}},
	}
}

func dataDir(place string) tokenstore.Dir { return tokenstore.Dir(filepath.Join(place, "data")) }

// fileLock excludes all stores over a place.
func fileLock(place string) locker {
	return func(ctx context.Context, key string) (unlock func(), err error) {
		lock := flock.New(filepath.Join(place, name(key)+".lock"))
		if _, err := lock.TryLockContext(ctx, time.Millisecond); err != nil {
			return nil, err
		}
		return func() { lock.Unlock() }, nil
	}
}

// name is a name for a file that is not too long.
func name(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// caching loads what this store has written last.
func caching(d tokenstore.Dir) tokenstore.Store {
	var mu sync.Mutex
	cache := make(map[string][]byte)
	c := &changed{Store: d}
	c.load = func(ctx context.Context, key string) ([]byte, error) {
		mu.Lock()
		record, found := cache[key]
		mu.Unlock()
		if found {
			return append([]byte{}, record...), nil
		}
		return d.Load(ctx, key)
	}
	c.update = func(ctx context.Context, key string, f next) error {
		var wrote []byte
		unchanged := false
		err := d.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
			record, err := f(ctx, old)
			wrote, unchanged = append([]byte{}, record...), err != nil
			return record, err
		})
		if err == nil && !unchanged {
			mu.Lock()
			defer mu.Unlock()
			cache[key] = wrote
		}
		return err
	}
	c.remove = func(ctx context.Context, key string) error {
		err := d.Delete(ctx, key)
		mu.Lock()
		defer mu.Unlock()
		delete(cache, key)
		return err
	}
	return c
}

// A shared is what the stores over a place have in common in this process.
type shared struct {
	updates tokenstore.Memory // for exclusion
	files   sync.RWMutex      // for reading and writing in place

	mu     sync.Mutex
	users  map[string]int // of a lock, by its key
	unlock map[string]func()
}

var (
	placesMu sync.Mutex
	places   = make(map[string]*shared)
)

func placeOf(place string) *shared {
	placesMu.Lock()
	defer placesMu.Unlock()
	if places[place] == nil {
		places[place] = &shared{users: make(map[string]int), unlock: make(map[string]func())}
	}
	return places[place]
}

// inProcess excludes the stores over a place in this process.
func inProcess(place string) locker { return lockIn(&placeOf(place).updates) }

// processLock is a lock that belongs to the process: who asks for it there, has
// it.
func processLock(place string) locker {
	p := placeOf(place)
	return func(ctx context.Context, key string) (func(), error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.users[key] == 0 {
			unlock, err := fileLock(place)(ctx, key)
			if err != nil {
				return nil, err
			}
			p.unlock[key] = unlock
		}
		p.users[key]++
		return func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.users[key]--; p.users[key] == 0 {
				p.unlock[key]()
			}
		}, nil
	}
}

// readsEarly is a store that reads the record before it waits for other
// processes.
func readsEarly(place string) tokenstore.Store {
	data := dataDir(place)
	l := locked{data, both(inProcess(place), fileLock(place))}
	return &changed{Store: l, update: func(ctx context.Context, key string, f next) error {
		unlock, err := locked{data, inProcess(place)}.take(ctx, key)
		if err != nil {
			return err
		}
		defer unlock()
		old, err := data.Load(ctx, key)
		if err != nil {
			old = nil
		}
		time.Sleep(time.Millisecond)
		unlock2, err := fileLock(place)(ctx, key)
		if err != nil {
			return err
		}
		defer unlock2()
		detached := context.WithoutCancel(ctx)
		record, err := f(detached, old)
		return data.Update(detached, key, func(context.Context, []byte) ([]byte, error) { return record, err })
	}}
}

// lockFile makes a file that nobody but this function removes.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			f.Close()
			return func() { os.Remove(path) }, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// inPlace reads and writes files as they are. Stores in one process know of each
// other.
type inPlace struct {
	place  string
	shared *shared
}

func (s inPlace) path(key string) string { return filepath.Join(s.place, name(key)) }

func (s inPlace) Load(_ context.Context, key string) ([]byte, error) {
	if err := tokenstore.CheckKey(key); err != nil {
		return nil, err
	}
	s.shared.files.RLock()
	defer s.shared.files.RUnlock()
	record, err := os.ReadFile(s.path(key))
	if err != nil {
		return nil, tokenstore.ErrNotFound
	}
	return record, nil
}

// Update is only called with a lock.
func (s inPlace) Update(ctx context.Context, key string, f next) error {
	record, err := f(ctx, nil)
	switch {
	case errors.Is(err, tokenstore.ErrUnchanged):
		return nil
	case err != nil:
		return err
	case len(record) > tokenstore.MaxRecord:
		return tokenstore.ErrTooLarge
	}
	s.shared.files.Lock()
	defer s.shared.files.Unlock()
	file, err := os.Create(s.path(key))
	if err != nil {
		return err
	}
	defer file.Close()
	half := len(record) / 2
	_, err = file.Write(record[:half])
	time.Sleep(time.Millisecond)
	_, err2 := file.Write(record[half:])
	return errors.Join(err, err2)
}

func (s inPlace) Delete(_ context.Context, key string) error {
	s.shared.files.Lock()
	defer s.shared.files.Unlock()
	os.Remove(s.path(key))
	return nil
}
