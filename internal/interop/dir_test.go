package interop_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

var none = fault{name: "none", acts: true}

// TestTwoClients has two clients, as of two processes, keep one session in one Dir.
// Together they refresh as often as one would. One of them begins anew in between,
// without a login.
func TestTwoClients(t *testing.T) {
	const lifetimes, ttl = 2, 2 * time.Second
	w := newWorld(t, ttl)
	dir := tokenstore.Dir(filepath.Join(t.TempDir(), "tokens"))
	a, b := w.client(dir), w.client(dir)
	first := w.imported(a, w.login())
	r := w.run(25, first, b.Session("alice"))
	for range lifetimes {
		r.refresh(none, false)
		r.refresh(none, true)
	}
	r.end(lifetimes, ttl)

	w.close(a)
	again := w.client(dir).Session("alice")
	r = w.run(25, again, b.Session("alice"))
	r.refresh(none, false)
	r.refresh(none, true)
	r.end(1, ttl)
}
