package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

var (
	errNotCalled = errors.New("the store did not run the update")
	errGone      = errors.New("a callback or the store ended the goroutine")
)

// run calls f in a goroutine of its own, where neither a panic nor
// runtime.Goexit reaches the caller, and gives its error.
func run(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		err := errGone
		defer func() { done <- err }()
		defer catch(&err)
		err = f()
	}()
	return done
}

// catch turns a panic into an error that says where it was. The value is not
// shown: it may hold anything.
func catch(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("panic (%T) in a callback or store, at %s", v, panicSite())
	}
}

// panicSite returns the line that panicked. It is called while the goroutine
// panics, by what was deferred.
func panicSite() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs[:])])
	panicking := false
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if panicking && !inRuntime {
			return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
		}
		panicking = panicking || frame.Function == "runtime.gopanic"
		if !more {
			return "an unknown line"
		}
	}
}

// load returns the stored record, or the zero Record. A store that does not heed
// its context is not waited for.
func (s *Source) load() (*tokenstore.Record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.exclusionTimeout())
	defer cancel()
	var b []byte
	done := run(func() (err error) {
		b, err = s.cfg.Store.Load(ctx, s.key())
		return err
	})
	over := time.NewTimer(s.cfg.exclusionTimeout() + exchangeGrace)
	defer over.Stop()
	select {
	case err := <-done:
		if errors.Is(err, tokenstore.ErrNotFound) {
			return new(tokenstore.Record), nil
		}
		if err != nil {
			return nil, err
		}
		return s.decode(b)
	case <-over.C:
		return nil, errLoad
	}
}

var errLoad = errors.New("the store does not return from Load")

// update runs next with the exclusion of the record, and waits for that no longer
// than exclusionTimeout. next gets the stored record, or the zero Record, and a
// context that no caller can cancel; unreadable is set where what is stored is
// no record.
func (s *Source) update(next func(ctx context.Context, stored *tokenstore.Record, unreadable error) (*tokenstore.Record, error)) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	w := s.working()
	s.setAbort(w, cancel)
	defer s.setAbort(w, nil)
	wait := time.AfterFunc(s.cfg.exclusionTimeout(), func() { cancel(errExclusion) })
	defer wait.Stop()
	refusal := errNotCalled // what next said, whatever the store makes of it
	f := once(func(ctx context.Context, old []byte) (b []byte, err error) {
		defer func() { refusal = err }()
		defer catch(&err)
		if !wait.Stop() {
			return nil, errExclusion
		}
		stored, unreadable := s.decode(old)
		made, err := next(ctx, stored, unreadable)
		if err != nil {
			return nil, err
		}
		s.beginWriting(w)
		return encode(made)
	})
	err := <-run(func() error { return s.cfg.Store.Update(ctx, s.key(), f) })
	switch {
	case err == nil && !errors.Is(refusal, tokenstore.ErrUnchanged):
		return refusal
	case err != nil && context.Cause(ctx) == errExclusion:
		return &RefreshError{Kind: StoreFailed, Err: errors.Join(errExclusion, err)}
	case err != nil && context.Cause(ctx) == errAborted:
		return errors.Join(errAborted, err)
	}
	return err
}

// once is next for a store that runs its transaction again: nothing is sent
// twice.
func once(next func(context.Context, []byte) ([]byte, error)) func(context.Context, []byte) ([]byte, error) {
	var called bool
	var first, made []byte
	var err error
	return func(ctx context.Context, old []byte) ([]byte, error) {
		switch {
		case !called:
			called, first = true, bytes.Clone(old)
			made, err = next(ctx, old)
		case !bytes.Equal(old, first):
			return nil, tokenstore.ErrConflict
		}
		return bytes.Clone(made), err
	}
}

// decode returns the record, or the zero Record for none. One of another session
// counts as one that can't be read.
func (s *Source) decode(b []byte) (*tokenstore.Record, error) {
	if b == nil {
		return new(tokenstore.Record), nil
	}
	rec, err := tokenstore.DecodeRecord(b)
	if err != nil {
		return new(tokenstore.Record), err
	}
	if err := s.owns(&rec); err != nil {
		return new(tokenstore.Record), err
	}
	s.identify(&rec) // shares the text
	return &rec, nil
}

// unreadable reports whether err says that what is stored is no record of this
// session.
func unreadable(err error) bool {
	return errors.Is(err, tokenstore.ErrCorrupt) || errors.Is(err, ErrIdentity)
}

// encode encodes rec, which may have to lose what is optional: that must not
// cost the refresh token.
func encode(rec *tokenstore.Record) ([]byte, error) {
	less := *rec
	b, err := less.Encode()
	if err != nil {
		less.Extra = nil
		b, err = less.Encode()
	}
	if err != nil {
		less.IDToken = tokenstore.Secret{}
		b, err = less.Encode()
	}
	return b, err
}

// setAbort sets what ends the Update under way.
func (s *Source) setAbort(w *work, cancel context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.abort, w.writing = cancel, false
	if s.gaveUp && cancel != nil {
		cancel(errAborted)
	}
}

// beginWriting notes that all the Update under way still does is to write.
func (s *Source) beginWriting(w *work) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.writing = true
}

// abortSave ends the Update under way if all it still does is trying to save.
func (s *Source) abortSave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work.writing && s.work.abort != nil {
		s.work.abort(errAborted)
	}
}
