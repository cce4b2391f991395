package lease

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// A memory is a Table with one key, whose faults tests choose.
type memory struct {
	// fault is called at every step, before and after it: "take", "commit",
	// "remove", "free", "load", and the same with "ed". It may wait, panic, or return
	// the error of the step.
	fault func(ctx context.Context, step string) error

	mu    sync.Mutex
	row   Row
	ends  time.Time
	last  string // who had the lease last
	steps map[string]int
}

func (m *memory) step(ctx context.Context, name string, do func()) error {
	m.mu.Lock()
	fault := m.fault
	if m.steps == nil {
		m.steps = make(map[string]int)
	}
	m.steps[name]++
	m.mu.Unlock()
	if fault != nil {
		if err := fault(ctx, name); err != nil {
			return err
		}
	}
	m.mu.Lock()
	do()
	m.mu.Unlock()
	if fault != nil {
		return fault(ctx, name+"ed")
	}
	return nil
}

func (m *memory) breakAt(fault func(ctx context.Context, step string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

func (m *memory) count(step string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.steps[step]
}

func (m *memory) Load(ctx context.Context, _ string) (record []byte, err error) {
	err = m.step(ctx, "load", func() { record = bytes.Clone(m.row.Record) })
	if err == nil && record == nil {
		err = tokenstore.ErrNotFound
	}
	return record, err
}

func (m *memory) Take(ctx context.Context, _, owner, over string, length time.Duration, _ bool) (row Row, err error) {
	err = m.step(ctx, "take", func() {
		m.row.RunOut = m.row.Holder != "" && time.Now().After(m.ends)
		if m.row.Holder == "" || m.row.Holder == owner || m.row.RunOut && m.row.Holder == over {
			m.row.Holder, m.row.RunOut, m.ends, m.last = owner, false, time.Now().Add(length), owner
		}
		row = m.row
	})
	return row, err
}

func (m *memory) Commit(ctx context.Context, _, owner string, version int64, record []byte) (ok bool, err error) {
	err = m.step(ctx, "commit", func() {
		switch {
		case m.row.Holder == owner && m.row.Version == version:
			m.row = Row{Version: version + 1, Record: bytes.Clone(record)}
			ok = true
		case m.row.Holder == "" && m.last == owner && m.row.Version == version+1:
			ok = true
		}
	})
	return ok, err
}

func (m *memory) Remove(ctx context.Context, _, owner string) (ok bool, err error) {
	err = m.step(ctx, "remove", func() {
		if ok = m.row.Holder == owner; ok {
			m.row = Row{}
		}
	})
	return ok, err
}

func (m *memory) Free(ctx context.Context, _, owner string) error {
	return m.step(ctx, "free", func() {
		if m.row.Holder == owner {
			m.row.Holder = ""
		}
	})
}

// die makes somebody the holder who does not come back.
func (m *memory) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.row.Holder, m.ends = "dead", time.Now().Add(defaultLength)
}

func (m *memory) held() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.row.Holder
}

// bubble runs f with a store over m in a bubble, and checks that nothing is held at
// the end.
func bubble(t *testing.T, name string, f func(t *testing.T, s *Store, m *memory)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := new(memory)
			f(t, newStore(m), m)
			synctest.Wait()
			if h := m.held(); h != "" {
				t.Errorf("%q still has the lease", h)
			}
		})
	})
}

func newStore(m *memory) *Store {
	return &Store{Table: m}
}

func write1(record string) func(context.Context, []byte) ([]byte, error) {
	return func(context.Context, []byte) ([]byte, error) { return []byte(record), nil }
}

func wantRecord(t *testing.T, s *Store, want string) {
	t.Helper()
	if got, err := s.Load(t.Context(), "k"); err != nil || string(got) != want {
		t.Errorf("Load = %q, %v; want %q", got, err, want)
	}
}

// once makes do happen the first n times that step comes.
func once(n int, step string, do func(ctx context.Context) error) func(context.Context, string) error {
	var mu sync.Mutex
	return func(ctx context.Context, s string) error {
		mu.Lock()
		happens := s == step && n > 0
		if happens {
			n--
		}
		mu.Unlock()
		if !happens {
			return nil
		}
		return do(ctx)
	}
}

var errCut = errors.New("connection cut")

func cutOff(context.Context) error { return errCut }

func hang(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestUpdate(t *testing.T) {
	bubble(t, "takes, commits, and nothing else", func(t *testing.T, s *Store, m *memory) {
		if err := s.Update(t.Context(), "k", write1("one")); err != nil {
			t.Error(err)
		}
		wantRecord(t, s, "one")
		if m.count("take") != 1 || m.count("commit") != 1 || m.count("free") != 0 {
			t.Errorf("steps %v", m.steps)
		}
	})
	bubble(t, "an empty record", func(t *testing.T, s *Store, m *memory) {
		if err := s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { return nil, nil }); err != nil {
			t.Error(err)
		}
		wantRecord(t, s, "")
	})
	bubble(t, "gives next a context that ends before the lease", func(t *testing.T, s *Store, m *memory) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		s.Update(ctx, "k", func(inner context.Context, _ []byte) ([]byte, error) {
			cancel()
			deadline, ok := inner.Deadline()
			if left := time.Until(deadline); !ok || left != defaultLength-defaultLength/10 || inner.Err() != nil || inner.Value(key{}) != "value" {
				t.Errorf("next has %v, %v", left, inner.Err())
			}
			return []byte("x"), nil
		})
		wantRecord(t, s, "x")
	})
	for name, next := range map[string]func() ([]byte, error){
		"panic":   func() ([]byte, error) { panic("next") },
		"Goexit":  func() ([]byte, error) { runtime.Goexit(); return nil, nil },
		"error":   func() ([]byte, error) { return nil, errCut },
		"nothing": func() ([]byte, error) { return nil, tokenstore.ErrUnchanged },
		"much":    func() ([]byte, error) { return make([]byte, tokenstore.MaxRecord+1), nil },
	} {
		bubble(t, "gives the lease back after "+name, func(t *testing.T, s *Store, m *memory) {
			done := make(chan bool)
			go func() {
				defer close(done)
				defer func() { recover() }()
				s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { return next() })
			}()
			<-done
			if m.count("commit") != 0 {
				t.Error("something was written")
			}
		})
	}
}

func TestUpdate_over_a_database_that_fails(t *testing.T) {
	bubble(t, "a few errors of a take", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(maxErrors-1, "take", cutOff))
		if err := s.Update(t.Context(), "k", write1("one")); err != nil {
			t.Error(err)
		}
	})
	bubble(t, "errors of every take", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(1000, "take", cutOff))
		called := false
		err := s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { called = true; return nil, nil })
		if !errors.Is(err, errCut) || called || m.count("take") != maxErrors {
			t.Errorf("Update = %v after %d takes", err, m.count("take"))
		}
	})
	bubble(t, "the answer to a take is lost", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(1, "takeed", cutOff))
		if err := s.Update(t.Context(), "k", write1("one")); err != nil {
			t.Error(err)
		}
	})
	bubble(t, "all answers to takes are lost", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(1000, "takeed", cutOff))
		if err := s.Update(t.Context(), "k", write1("one")); !errors.Is(err, errCut) {
			t.Error(err)
		}
	})
	bubble(t, "a take that hangs", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(1, "take", func(context.Context) error { time.Sleep(time.Hour); return nil })) // and then takes
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Update(ctx, "k", write1("one")); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.Sleep(2 * time.Hour) // it is given back when it is there
	})
	bubble(t, "a driver that panics", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(1, "take", func(context.Context) error { panic("canary") }))
		if err := s.Update(t.Context(), "k", write1("one")); err != nil {
			t.Error(err)
		}
		m.breakAt(once(1, "commit", func(context.Context) error { runtime.Goexit(); return nil }))
		if err := s.Update(t.Context(), "k", write1("two")); err != nil {
			t.Error(err)
		}
		m.breakAt(once(1, "commit", func(context.Context) error { panic("canary") }))
		if err := s.Update(t.Context(), "k", write1("three")); err != nil {
			t.Error(err)
		}
		wantRecord(t, s, "three")
	})
	bubble(t, "errors that come and go", func(t *testing.T, s *Store, m *memory) {
		m.die()
		n := 0
		m.breakAt(func(_ context.Context, step string) error {
			if step != "take" {
				return nil
			}
			if n++; n%3 == 0 {
				return errCut
			}
			return nil
		})
		if err := s.Update(t.Context(), "k", write1("one")); err != nil {
			t.Error(err)
		}
	})
	for name, step := range map[string]string{"a commit that fails": "commit", "a commit whose answer is lost": "commited"} {
		bubble(t, name, func(t *testing.T, s *Store, m *memory) {
			m.breakAt(once(7, step, cutOff))
			if err := s.Update(t.Context(), "k", write1("one")); err != nil {
				t.Error(err)
			}
			wantRecord(t, s, "one")
			if m.row.Version != 1 {
				t.Errorf("it was written %d times", m.row.Version)
			}
		})
	}
	bubble(t, "a commit that hangs is made again beside it", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(1, "commit", hang))
		began := time.Now()
		if err := s.Update(t.Context(), "k", write1("one")); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took >= defaultSettle {
			t.Errorf("it took %v, in which another may have thought the holder dead", took)
		}
		time.Sleep(answerTime)
		wantRecord(t, s, "one")
	})
	bubble(t, "commits that all hang are not piled up", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(1000, "commit", func(context.Context) error { time.Sleep(15 * time.Second); return nil }))
		if err := s.Update(t.Context(), "k", write1("one")); err != nil {
			t.Error(err)
		}
		if n := m.count("commit"); n != maxUnderWay {
			t.Errorf("%d commits", n)
		}
		time.Sleep(time.Minute)
		wantRecord(t, s, "one")
	})
	bubble(t, "the caller goes while a commit fails", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(1000, "commit", cutOff))
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Update(ctx, "k", func(context.Context, []byte) ([]byte, error) { cancel(); return []byte("one"), nil })
		if !errors.Is(err, errCut) || !errors.Is(err, context.Canceled) || m.count("commit") != 1 {
			t.Errorf("Update = %v after %d commits", err, m.count("commit"))
		}
	})
}

func TestUpdate_whose_lease_is_taken_over(t *testing.T) {
	// over puts another record there by the next owner.
	over := func(m *memory) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.row = Row{Version: m.row.Version + 1, Record: []byte("theirs")}
		m.last = "other"
	}
	bubble(t, "before it writes", func(t *testing.T, s *Store, m *memory) {
		err := s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { over(m); return []byte("ours"), nil })
		if !errors.Is(err, tokenstore.ErrConflict) {
			t.Errorf("Update = %v", err)
		}
		wantRecord(t, s, "theirs")
	})
	bubble(t, "after it wrote, and the answer was lost", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(1, "commited", func(context.Context) error { over(m); return errCut }))
		if err := s.Update(t.Context(), "k", write1("ours")); err == nil || errors.Is(err, tokenstore.ErrConflict) {
			t.Errorf("Update = %v; it is not known that nothing was written", err)
		}
		wantRecord(t, s, "theirs")
	})
}

func TestTakeover(t *testing.T) {
	bubble(t, "of a dead holder, when that was seen for the settle time", func(t *testing.T, s *Store, m *memory) {
		m.die()
		began := time.Now()
		if err := s.Update(t.Context(), "k", write1("one")); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < defaultLength+defaultSettle || took > defaultLength+defaultSettle+2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	bubble(t, "not while the database is away, nor soon after", func(t *testing.T, s *Store, m *memory) {
		m.die()
		time.Sleep(defaultLength + time.Second)
		began := time.Now()
		away := func(from, to time.Duration) func(context.Context, string) error {
			return func(ctx context.Context, step string) error {
				if gone := time.Since(began); step == "take" && gone > from && gone < to {
					time.Sleep(to - gone) // it hangs
				}
				return nil
			}
		}
		m.breakAt(away(3*time.Second, 9*time.Second))
		if err := s.Update(t.Context(), "k", write1("one")); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 9*time.Second+defaultSettle {
			t.Errorf("taken over after %v, %v after the database was back", took, took-9*time.Second)
		}
	})
	bubble(t, "not from a holder that writes in time", func(t *testing.T, s *Store, m *memory) {
		m.die()
		m.mu.Lock()
		m.row.Holder = "slow"
		m.mu.Unlock()
		go func() {
			time.Sleep(defaultLength + defaultSettle - 500*time.Millisecond)
			if ok, _ := m.Commit(t.Context(), "k", "slow", 0, []byte("theirs")); !ok {
				t.Error("the slow holder could not write")
			}
		}()
		err := s.Update(t.Context(), "k", func(_ context.Context, old []byte) ([]byte, error) {
			if string(old) != "theirs" {
				t.Errorf("old = %q", old)
			}
			return []byte("ours"), nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	bubble(t, "by callers that have less time than it takes", func(t *testing.T, s *Store, m *memory) {
		m.die()
		time.Sleep(defaultLength + time.Second)
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := s.Update(ctx, "k", write1("one"))
			cancel()
			if err == nil {
				return
			}
			time.Sleep(time.Second)
		}
		t.Error("never")
	})
}

func TestDelete(t *testing.T) {
	bubble(t, "waits for an Update", func(t *testing.T, s *Store, m *memory) {
		go s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) { time.Sleep(time.Second); return []byte("x"), nil })
		synctest.Wait()
		other := newStore(m) // of another process
		if err := other.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		if _, err := s.Load(t.Context(), "k"); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("Load = %v", err)
		}
	})
	bubble(t, "goes on when it fails for a while", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(3, "remove", cutOff))
		if err := s.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
	})
	bubble(t, "gives up with its caller", func(t *testing.T, s *Store, m *memory) {
		m.breakAt(once(1000, "remove", cutOff))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Delete(ctx, "k"); !errors.Is(err, errCut) {
			t.Error(err)
		}
	})
}

func TestUpdates_exclude_each_other_across_processes(t *testing.T) {
	bubble(t, "", func(t *testing.T, s *Store, m *memory) {
		inside, n := 0, 0
		var wg sync.WaitGroup
		for range 5 {
			s := newStore(m)
			for range 4 {
				wg.Go(func() {
					err := s.Update(t.Context(), "k", func(context.Context, []byte) ([]byte, error) {
						if inside++; inside != 1 {
							t.Error("two inside")
						}
						time.Sleep(300 * time.Millisecond)
						inside--
						n++
						return fmt.Append(nil, n), nil
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		wantRecord(t, s, "20")
	})
}

func TestCheck(t *testing.T) {
	for _, s := range []*Store{{Length: -1}, {Settle: -1}, {Length: 1}, {Length: time.Millisecond, Settle: time.Millisecond}} {
		if s.Check() == nil {
			t.Errorf("Lease %v and Settle %v are taken", s.Length, s.Settle)
		}
	}
	for length, settle := range map[time.Duration]time.Duration{0: 5 * time.Second, 6 * time.Second: time.Second, time.Minute: 5 * time.Second} {
		if s := (&Store{Length: length}); s.Check() != nil || s.settle() != settle {
			t.Errorf("Lease %v has Settle %v, want %v (%v)", length, s.settle(), settle, s.Check())
		}
	}
}

// A Load that its caller leaves goes on for itself: the race detector sees whether it
// shares anything with who left.
func TestLoad_that_is_left(t *testing.T) {
	bubble(t, "", func(t *testing.T, s *Store, m *memory) {
		if err := s.Update(t.Context(), "k", write1("one")); err != nil {
			t.Fatal(err)
		}
		m.breakAt(once(1, "load", func(context.Context) error { time.Sleep(time.Minute); return nil }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b, err := s.Load(ctx, "k"); b != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Load = %q, %v", b, err)
		}
		time.Sleep(time.Hour)
		wantRecord(t, s, "one")
	})
}
