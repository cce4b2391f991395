package client_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// An Import that could not be saved is in use from memory, and calling it again
// with the same token saves it.
func TestImportAgainAfterStoreFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saved atomic.Pointer[[]byte]
		var healthy atomic.Bool
		srv := clienttest.NewServer()
		defer srv.Close()
		cfg := srv.Config()
		cfg.Store = &tokenstore.Funcs{
			LoadFunc: func(context.Context, string) ([]byte, error) {
				if record := saved.Load(); record != nil {
					return *record, nil
				}
				return nil, tokenstore.ErrNotFound
			},
			SaveFunc: func(_ context.Context, _ string, record []byte) error {
				if !healthy.Load() {
					return errors.New("disk full")
				}
				saved.Store(&record)
				return nil
			},
		}
		c, err := client.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		alice, tok := c.Session("alice"), srv.NewToken("alice")

		var re *transport.RefreshError
		if err := alice.Import(t.Context(), tok); !errors.As(err, &re) || re.Kind != transport.StoreFailed {
			t.Fatalf("Import = %v, want a failure of the store", err)
		}
		if got, err := alice.Token(t.Context()); err != nil || got.Reveal() != tok.AccessToken {
			t.Errorf("Token = %v, %v, want the imported one", got, err)
		}
		healthy.Store(true)
		if err := alice.Import(t.Context(), tok); err != nil || saved.Load() == nil {
			t.Errorf("Import again = %v, saved: %t", err, saved.Load() != nil)
		}
		if status := alice.Status(); status.Unsaved {
			t.Errorf("%+v", status)
		}
	})
}
