package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/storetest"
)

// urlVar tells the processes that storetest starts where the service is.
const urlVar = "CUSTOMSTORE_URL"

func TestStore(t *testing.T) {
	if os.Getenv(urlVar) == "" {
		srv := httptest.NewServer(new(service))
		defer srv.Close()
		t.Setenv(urlVar, srv.URL)
	}
	const lease = 3 * time.Second
	storetest.Run(t, storetest.Config{
		Open: func(_ *testing.T, place string) tokenstore.Store {
			return &Store{URL: os.Getenv(urlVar), Prefix: filepath.Base(place), Lease: lease}
		},
		Shared:   true, // by processes, and so by hosts
		Takeover: lease + 2*time.Second,
	})
}
