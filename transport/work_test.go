package transport

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/freshet-go/freshet/tokenstore"
)

// A Source that does nothing, and had no failure, has nothing but its record.
func TestSource_is_small_when_idle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := rejectable(t, 0)
		fail := true
		s.cfg.Refresh = func(_ context.Context, _ tokenstore.Record, _ string) (tokenstore.Record, error) {
			time.Sleep(time.Second)
			if fail {
				return tokenstore.Record{}, errors.New("not now")
			}
			return *clocked(time.Now(), 0), nil
		}
		if _, err := s.Token(t.Context(), ""); err == nil || s.trouble == nil {
			t.Fatal("it does not fail")
		}
		fail = false
		time.Sleep(time.Minute)
		go s.Token(t.Context(), "")
		synctest.Wait()
		if s.work == nil || s.flights == nil {
			t.Error("nothing seems to run")
		}
		if _, err := s.Token(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s.work != nil || s.flights != nil || s.trouble != nil || s.unsaved != nil || s.orphans != nil {
			t.Error("something of that is left")
		}
	})
	if size := unsafe.Sizeof(Source{}); size > 112 {
		t.Errorf("a Source has %d bytes, and there may be a million", size)
	}
}

// Callers that wait for a refresh need no goroutine beside their own.
func TestWaiters_need_no_goroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := rejectable(t, 0)
		s.cfg.Refresh = func(_ context.Context, _ tokenstore.Record, _ string) (tokenstore.Record, error) {
			time.Sleep(time.Second)
			return *clocked(time.Now(), 0), nil
		}
		before := runtime.NumGoroutine()
		const callers = 1000
		for range callers {
			go s.Token(t.Context(), "")
		}
		synctest.Wait()
		if more := runtime.NumGoroutine() - before - callers; more > 3 { // singleflight's, the flight's and the store's
			t.Errorf("%d goroutines more for %d callers", more, callers)
		}
		time.Sleep(2 * time.Second)
	})
}

// Sources made by With share the configuration, and nothing of their sessions.
func TestSource_with(t *testing.T) {
	s, _ := rejectable(t, 0)
	s.cfg.KeyFor = strings.ToUpper
	other := s.With("bob")
	if err := other.Set(t.Context(), *clocked(time.Now(), 0)); err != nil {
		t.Fatal(err)
	}
	if other.cfg != s.cfg {
		t.Error("it has another configuration")
	}
	if _, err := s.cfg.Store.Load(t.Context(), "BOB"); err != nil {
		t.Errorf("in the store: %v", err)
	}
	if s.held().Exists() {
		t.Error("the record is in both")
	}
	s.cfg.KeyFor = nil
	defer func() {
		if recover() == nil {
			t.Error("without KeyFor they have one record")
		}
	}()
	s.With("carol")
}
