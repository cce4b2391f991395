package transport_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A server stands for an authorization server with single-use refresh tokens, of
// which a reused one ends the session.
type server struct {
	lifetime time.Duration // of access tokens; 0 is not told
	delay    time.Duration // before it acts
	hang     time.Duration // the same, whatever becomes of the context
	fail     func(n int) error
	lose     func(n int) error // instead of the n-th answer, after it acted

	mu        sync.Mutex
	n         int
	live      string         // the refresh token that is good; "" before the first
	ended     bool           // a refresh token was reused
	presented map[string]int // how often each refresh token came
	times     []time.Time    // of the calls
}

func (s *server) refresh(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
	n := s.begin(old.RefreshToken.Reveal())
	start := time.Now()
	time.Sleep(s.hang)
	if s.delay > 0 {
		select {
		case <-time.After(s.delay):
		case <-ctx.Done():
			return tokenstore.Record{}, ctx.Err()
		}
	}
	if s.fail != nil {
		if err := s.fail(n); err != nil {
			return tokenstore.Record{}, err
		}
	}
	if !s.rotate(n, old.RefreshToken.Reveal()) {
		return tokenstore.Record{}, invalidGrant()
	}
	if s.lose != nil {
		if err := s.lose(n); err != nil {
			return tokenstore.Record{}, err
		}
	}
	s.issue(&old, n, target, start)
	return old, nil
}

func (s *server) begin(rt string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.presented == nil {
		s.presented = make(map[string]int)
	}
	s.n++
	s.times = append(s.times, time.Now())
	if rt != "" {
		s.presented[rt]++
	}
	return s.n
}

func (s *server) rotate(n int, rt string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != "" && s.live != rt {
		s.ended = true
	}
	s.live = fmt.Sprintf("rt%d", n)
	return !s.ended
}

// issue puts the tokens of the n-th answer into rec.
func (s *server) issue(rec *tokenstore.Record, n int, target string, start time.Time) {
	rec.RefreshToken = tokenstore.NewSecret(fmt.Sprintf("rt%d", n))
	at := tokenstore.AccessToken{Target: target, Token: tokenstore.NewSecret(fmt.Sprintf("at%d", n)), Issued: start}
	if s.lifetime > 0 {
		at.Expiry = start.Add(s.lifetime)
	}
	rec.SetToken(at)
}

// login returns the record of a new session of the user.
func (s *server) login() tokenstore.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.live, s.ended = fmt.Sprintf("rt%d", s.n), false
	var rec tokenstore.Record
	s.issue(&rec, s.n, "", time.Now())
	return rec
}

func (s *server) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// gaps returns the times between the calls.
func (s *server) gaps() (list []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range len(s.times) - 1 {
		list = append(list, s.times[i+1].Sub(s.times[i]))
	}
	return list
}

// wantCalls checks how often tokens were made, logins included.
func (s *server) wantCalls(t *testing.T, want int) {
	t.Helper()
	if got := s.calls(); got != want {
		t.Errorf("%d tokens made, want %d", got, want)
	}
}

// wantNoReuse checks that no refresh token came twice.
func (s *server) wantNoReuse(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for rt, n := range s.presented {
		if n > 1 {
			t.Errorf("%s was sent %d times", rt, n)
		}
	}
	if s.ended {
		t.Error("the session was ended for reuse")
	}
}

func invalidGrant() error {
	return &transport.RefreshError{Kind: transport.LoginRequired, Err: errors.New("invalid_grant")}
}

// A shelf is a store for one record whose faults tests choose.
type shelf struct {
	tokenstore.Funcs

	// at is called at every step: "load", "enter", "next", "save", "saved",
	// "leave", "delete". An error is that of the step; after "saved" the record
	// is written all the same.
	at func(step string) error

	mu    sync.Mutex
	bytes []byte
}

const shelfKey = "key"

func newShelf() *shelf {
	s := new(shelf)
	s.LoadFunc = func(context.Context, string) ([]byte, error) {
		if err := s.step("load"); err != nil {
			return nil, err
		}
		return s.get(), nil
	}
	s.SaveFunc = func(_ context.Context, _ string, b []byte) error {
		if err := s.step("save"); err != nil {
			return err
		}
		s.set(b)
		return s.step("saved")
	}
	s.DeleteFunc = func(context.Context, string) error {
		if err := s.step("delete"); err != nil {
			return err
		}
		s.set(nil)
		return nil
	}
	return s
}

func (s *shelf) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	if err := s.step("enter"); err != nil {
		return err
	}
	err := s.Funcs.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
		if err := s.step("next"); err != nil {
			return nil, err
		}
		return next(ctx, old)
	})
	return errors.Join(err, s.step("leave"))
}

func (s *shelf) step(name string) error {
	s.mu.Lock()
	at := s.at
	s.mu.Unlock()
	if at == nil {
		return nil
	}
	return at(name)
}

// breakAt makes every step of that name fail, with err, until heal.
func (s *shelf) breakAt(name string, f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = func(step string) error {
		if step != name {
			return nil
		}
		return f()
	}
}

func (s *shelf) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = nil
}

func (s *shelf) get() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

func (s *shelf) set(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes = b
}

// record returns what is stored, or the zero Record.
func (s *shelf) record(t *testing.T) tokenstore.Record {
	t.Helper()
	b := s.get()
	if b == nil {
		return tokenstore.Record{}
	}
	rec, err := tokenstore.DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// put stores rec as another process would.
func (s *shelf) put(t *testing.T, rec tokenstore.Record) {
	t.Helper()
	b, err := rec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s.set(b)
}

// wantStored checks which refresh token is stored, "" being no record.
func (s *shelf) wantStored(t *testing.T, want string) {
	t.Helper()
	rec := s.record(t)
	if got := rec.RefreshToken.Reveal(); got != want {
		t.Errorf("stored is %q, want %q", got, want)
	}
}

func (s *shelf) config(srv *server, tape *tape) transport.SourceConfig {
	cfg := transport.SourceConfig{Refresh: srv.refresh, Store: s, Key: shelfKey}
	if tape != nil {
		cfg.Observer = tape.observer()
	}
	return cfg
}
