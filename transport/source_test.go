package transport_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/transport"
)

func TestSourceRefreshesOnceALifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{lifetime: time.Hour, delay: time.Second}
		s := newSource(t, transport.SourceConfig{Refresh: srv.refresh})
		for range 10 * 60 {
			if _, err := s.Token(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if n := srv.calls(); n != 11 {
			t.Errorf("%d refreshes in ten hours, want 11", n)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
