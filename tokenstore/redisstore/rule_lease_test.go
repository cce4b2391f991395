package redisstore_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/redisstore"
)

// A wire counts the commands of a client, and may lose the answer to one.
type wire struct {
	mu    sync.Mutex
	names []string
	lose  func(cmd redis.Cmder) bool
	after func(n int) // is called before the command that follows n others
}

func (w *wire) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *wire) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w.mu.Lock()
		after, n := w.after, len(w.names)
		w.mu.Unlock()
		if after != nil {
			after(n)
		}
		err := next(ctx, cmd)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.names = append(w.names, cmd.Name())
		if w.lose != nil && w.lose(cmd) {
			w.lose = nil
			cmd.SetErr(net.ErrClosed)
			return net.ErrClosed
		}
		return err
	}
}

func (w *wire) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// take returns the commands since the last take.
func (w *wire) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := strings.Join(w.names, " ")
	w.names = nil
	return names
}

// loseCommit loses the answer to the next commit of record.
func (w *wire) loseCommit(record string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose = func(cmd redis.Cmder) bool {
		for _, arg := range cmd.Args() {
			if b, ok := arg.([]byte); ok && string(b) == record {
				return true
			}
		}
		return false
	}
}

const (
	shortLease  = 600 * time.Millisecond
	shortSettle = 200 * time.Millisecond
)

// openShort returns a store with a short lease, and its wire.
func openShort(t *testing.T, prefix string) (*redisstore.Store, *redis.Client, *wire) {
	t.Helper()
	c, w := dial(t), new(wire)
	c.AddHook(w)
	s, err := redisstore.New(redisstore.Config{Client: c, Prefix: prefix, Lease: shortLease, Settle: shortSettle})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Del(context.Background(), prefix+"k") })
	return s, c, w
}

func write(record string) func(context.Context, []byte) ([]byte, error) {
	return func(context.Context, []byte) ([]byte, error) { return []byte(record), nil }
}

func wantRecord(t *testing.T, s tokenstore.Store, want string) {
	t.Helper()
	if got, err := s.Load(t.Context(), "k"); err != nil || string(got) != want {
		t.Errorf("Load = %q, %v; want %q", got, err, want)
	}
}

// overtaken runs an Update that outlasts its lease: another takes it over, and is in
// the middle of its own Update when the first one ends with what late returns. It
// returns the errors of both.
func overtaken(t *testing.T, first, second tokenstore.Store, late func(context.Context, []byte) ([]byte, error)) (err1, err2 error) {
	t.Helper()
	inside, over := make(chan bool), make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		err1 = first.Update(t.Context(), "k", func(ctx context.Context, old []byte) ([]byte, error) {
			close(inside)
			<-over
			return late(ctx, old)
		})
		inside <- true
	})
	<-inside
	inside = make(chan bool)
	err2 = second.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) {
		close(over)
		<-inside // the first has done what it does
		return []byte("second"), nil
	})
	wg.Wait()
	return err1, err2
}

func TestRule082_leases_in_Redis_have_random_owners_and_atomic_steps(t *testing.T) {
	needsRedis(t)
	prefix := func(t *testing.T) string {
		return "rule082_" + filepath.Base(t.TempDir()) + time.Now().Format("150405.000000") + ":"
	}
	t.Run("owners are random", func(t *testing.T) {
		p := prefix(t)
		s, c, _ := openShort(t, p)
		seen := make(map[string]bool)
		for range 20 {
			err := s.Update(t.Context(), "k", func(ctx context.Context, _ []byte) ([]byte, error) {
				owner := c.HGet(ctx, p+"k", "owner").Val()
				if len(owner) < 22 || seen[owner] { // 128 bits, in base64 or longer
					t.Errorf("owner %q", owner)
				}
				seen[owner] = true
				return []byte("x"), nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("every step is one script", func(t *testing.T) {
		s, _, w := openShort(t, prefix(t))
		s.Update(t.Context(), "k", write("scripts are loaded now"))
		s.Load(t.Context(), "k")
		s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { return nil, tokenstore.ErrUnchanged })
		s.Delete(t.Context(), "k")
		w.take()
		for _, step := range []struct {
			name, want string
			do         func() error
		}{
			{"Update", "evalsha evalsha", func() error { return s.Update(t.Context(), "k", write("x")) }},
			{"Load", "evalsha", func() error { _, err := s.Load(t.Context(), "k"); return err }},
			{"Update without a change", "evalsha evalsha", func() error {
				return s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { return nil, tokenstore.ErrUnchanged })
			}},
			{"Delete", "evalsha evalsha", func() error { return s.Delete(t.Context(), "k") }},
		} {
			if err := step.do(); err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
			if got := w.take(); got != step.want {
				t.Errorf("%s sends %q, want %q", step.name, got, step.want)
			}
		}
	})
	t.Run("who lost the lease can't write", func(t *testing.T) {
		p := prefix(t)
		first, _, _ := openShort(t, p)
		second, _, _ := openShort(t, p)
		began := time.Now()
		err1, err2 := overtaken(t, first, second, func(context.Context, []byte) ([]byte, error) {
			if took := time.Since(began); took < shortLease+shortSettle {
				t.Errorf("it was lost after %v", took)
			}
			return []byte("first"), nil
		})
		if !errors.Is(err1, tokenstore.ErrConflict) || err2 != nil {
			t.Errorf("the first: %v; the second: %v", err1, err2)
		}
		wantRecord(t, first, "second")
	})
	t.Run("who lost the lease can't give it back", func(t *testing.T) {
		p := prefix(t)
		first, _, _ := openShort(t, p)
		second, c, _ := openShort(t, p)
		refused := errors.New("refused")
		err1, err2 := overtaken(t, first, second, func(context.Context, []byte) ([]byte, error) { return nil, refused })
		if err1 != refused || err2 != nil {
			t.Errorf("the first: %v; the second: %v", err1, err2)
		}
		wantRecord(t, second, "second")
		// The same while the second still has it.
		err := first.Update(t.Context(), "k", func(ctx context.Context, old []byte) ([]byte, error) {
			before := c.HMGet(ctx, p+"k", "owner", "end").Val()
			other, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			second.Update(other, "k", write("in between")) // gives up, and gives back what it has not
			time.Sleep(50 * time.Millisecond)
			if after := c.HMGet(ctx, p+"k", "owner", "end").Val(); after[0] != before[0] || after[1] != before[1] {
				t.Errorf("the lease was %v and is %v", before, after)
			}
			return old, nil
		})
		if err != nil {
			t.Error(err)
		}
		wantRecord(t, second, "second")
	})
	t.Run("who lost the lease can't delete", func(t *testing.T) {
		p := prefix(t)
		first, _, w := openShort(t, p)
		second, _, _ := openShort(t, p)
		first.Update(t.Context(), "k", write("first"))
		w.take()
		var once sync.Once
		w.after = func(n int) {
			if n == 0 {
				return
			}
			once.Do(func() { // between taking the lease and deleting
				if err := second.Update(t.Context(), "k", write("second")); err != nil {
					t.Error(err)
				}
			})
		}
		if err := first.Delete(t.Context(), "k"); err == nil {
			t.Error("Delete says that it has deleted")
		}
		wantRecord(t, second, "second")
	})
	t.Run("the answer to a commit is lost", func(t *testing.T) {
		p := prefix(t)
		s, c, w := openShort(t, p)
		w.loseCommit("record")
		if err := s.Update(t.Context(), "k", write("record")); err != nil {
			t.Error(err)
		}
		if w.lose != nil {
			t.Error("no answer was lost")
		}
		wantRecord(t, s, "record")
		if v := c.HGet(t.Context(), p+"k", "version").Val(); v != "1" {
			t.Errorf("it was written %s times", v)
		}
	})
	t.Run("the answer to a take is lost", func(t *testing.T) {
		s, _, w := openShort(t, prefix(t))
		w.mu.Lock()
		w.lose = func(cmd redis.Cmder) bool { return strings.HasPrefix(cmd.Name(), "eval") }
		w.mu.Unlock()
		began := time.Now()
		if err := s.Update(t.Context(), "k", write("record")); err != nil {
			t.Error(err)
		}
		if w.lose != nil {
			t.Error("no answer was lost")
		}
		if took := time.Since(began); took >= shortLease {
			t.Errorf("who had the lease waited %v for it", took)
		}
	})
}
