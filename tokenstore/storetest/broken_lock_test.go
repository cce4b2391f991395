package storetest_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

func brokenContexts() []broken {
	return []broken{
		onMemory("ignores-context", "context-over", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				if ctx.Err() == nil {
					return m.Update(ctx, key, f)
				}
				free, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
				defer cancel()
				if err := m.Update(free, key, f); free.Err() == nil {
					return err
				}
				return ctx.Err()
			}
		}),
		onMemory("hands-on-context", "context-of-next", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				return m.Update(ctx, key, func(_ context.Context, old []byte) ([]byte, error) { return f(ctx, old) })
			}
		}),
		onNext("background-context", "context-of-next", func(f next) next {
			return func(_ context.Context, old []byte) ([]byte, error) { return f(context.Background(), old) }
		}),
		onMemory("rolls-back", "saves-after-context", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				return m.Update(ctx, key, func(inner context.Context, old []byte) ([]byte, error) {
					record, err := f(inner, old)
					if err == nil {
						err = ctx.Err()
					}
					return record, err
				})
			}
		}),
		onMemory("waits-for-ever", "wait-ends", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				if ctx.Err() == nil {
					ctx = context.WithoutCancel(ctx)
				}
				return m.Update(ctx, key, f)
			}
		}),
		onMemory("own-timeout", "wait-ends", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				called := false
				err := m.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
					called = true
					return f(ctx, old)
				})
				if !called && ctx.Err() != nil {
					err = errors.New("lock wait timeout exceeded")
				}
				return err
			}
		}),
	}
}

func brokenExclusion() []broken {
	return []broken{
		{"wakes-all", "updates-exclude", false, func(string) tokenstore.Store {
			return locked{new(tokenstore.Memory), new(herd).lock}
		}},
		onMemory("locks-rows-only", "first-updates-exclude", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				l := locked{m, lockIn(new(tokenstore.Memory))}
				if _, err := m.Load(ctx, key); errors.Is(err, tokenstore.ErrNotFound) {
					return l.Update(ctx, key, f)
				}
				return m.Update(ctx, key, f)
			}
		}),
		{"one-lock", "other-keys", false, func(string) tokenstore.Store {
			lock := lockIn(new(tokenstore.Memory))
			return locked{new(tokenstore.Memory), func(ctx context.Context, _ string) (func(), error) { return lock(ctx, "all") }}
		}},
		onMemory("load-locks", "load-does-not-wait", func(m *tokenstore.Memory, c *changed) {
			c.load = func(ctx context.Context, key string) (record []byte, err error) {
				none := error(tokenstore.ErrNotFound)
				err = m.Update(ctx, key, func(_ context.Context, old []byte) ([]byte, error) {
					if old != nil {
						record, none = old, nil
					}
					return nil, tokenstore.ErrUnchanged
				})
				return record, errors.Join(err, none)
			}
		}),
		{"delete-at-once", "delete-waits", false, func(string) tokenstore.Store {
			m := new(tokenstore.Memory)
			return &changed{Store: locked{m, lockIn(new(tokenstore.Memory))}, remove: m.Delete}
		}},
		onMemory("looks-before-it-locks", "delete-between", func(m *tokenstore.Memory, c *changed) {
			c.update = func(ctx context.Context, key string, f next) error {
				_, none := m.Load(ctx, key)
				time.Sleep(time.Millisecond)
				return m.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
					if old == nil && none == nil {
						return nil, errors.New("sql: no rows in result set")
					}
					return f(ctx, old)
				})
			}
		}),
		{"not-freed-by-panic", "panic", false, func(string) tokenstore.Store {
			l := locked{new(tokenstore.Memory), lockIn(new(tokenstore.Memory))}
			return &changed{Store: l, update: func(ctx context.Context, key string, f next) error {
				unlock, err := l.take(ctx, key)
				if err != nil {
					return err
				}
				defer func() {
					if r := recover(); r != nil {
						panic(r)
					}
					unlock()
				}()
				return l.change(ctx, key, f)
			}}
		}},
		{"not-freed-by-goexit", "goexit", false, func(string) tokenstore.Store {
			l := locked{new(tokenstore.Memory), lockIn(new(tokenstore.Memory))}
			return &changed{Store: l, update: func(ctx context.Context, key string, f next) error {
				unlock, err := l.take(ctx, key)
				if err != nil {
					return err
				}
				defer func() {
					if r := recover(); r != nil {
						unlock()
						panic(r)
					}
				}()
				err = l.change(ctx, key, f)
				unlock()
				return err
			}}
		}},
		onMemory("shares-loads", "linearizable", func(m *tokenstore.Memory, c *changed) { c.load = (&flights{m: m}).load }),
	}
}

// A herd is a lock that is handed to the one who waits, and to all of them if
// there are several.
type herd struct {
	mu      sync.Mutex
	held    map[string]bool
	waiting map[string][]chan struct{}
}

func (h *herd) lock(ctx context.Context, key string) (unlock func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held, h.waiting = make(map[string]bool), make(map[string][]chan struct{})
	}
	if h.held[key] {
		mine := make(chan struct{})
		h.waiting[key] = append(h.waiting[key], mine)
		h.mu.Unlock()
		select {
		case <-mine:
			time.Sleep(time.Millisecond) // in which others come
		case <-ctx.Done():
			err = ctx.Err()
		}
		h.mu.Lock()
		if err != nil {
			h.waiting[key] = without(h.waiting[key], mine)
			return nil, err
		}
	}
	h.held[key] = true
	return func() { h.unlock(key) }, nil
}

func (h *herd) unlock(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[key] = len(h.waiting[key]) > 0
	for _, w := range h.waiting[key] {
		close(w)
	}
	h.waiting[key] = nil
}

func without(all []chan struct{}, one chan struct{}) (rest []chan struct{}) {
	for _, w := range all {
		if w != one {
			rest = append(rest, w)
		}
	}
	return rest
}

// flights are Loads that share the answer of one that is under way.
type flights struct {
	m       *tokenstore.Memory
	mu      sync.Mutex
	flights map[string]*flight
}

type flight struct {
	done   chan struct{}
	record []byte
	err    error
}

func (s *flights) load(ctx context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	if f := s.flights[key]; f != nil {
		s.mu.Unlock()
		<-f.done
		return append([]byte{}, f.record...), f.err
	}
	f := &flight{done: make(chan struct{})}
	if s.flights == nil {
		s.flights = make(map[string]*flight)
	}
	s.flights[key] = f
	s.mu.Unlock()
	f.record, f.err = s.m.Load(ctx, key)
	time.Sleep(time.Millisecond) // as an answer takes over a network
	s.mu.Lock()
	delete(s.flights, key)
	s.mu.Unlock()
	close(f.done)
	if f.err != nil {
		return nil, f.err
	}
	return append([]byte{}, f.record...), nil
}
