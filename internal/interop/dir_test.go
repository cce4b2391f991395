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
	t.Parallel()
	const ttl = 3 * time.Second
	w := newWorld(t, ttl)
	dir := tokenstore.Dir(filepath.Join(t.TempDir(), "tokens"))
	a, b := w.client(dir), w.client(dir)
	first := w.imported(a, w.login())
	r := w.run(25, first, b.Session("alice"))
	for range 2 {
		r.lifetime()
	}
	r.callers.end()
	w.close(a)
	r.session = w.client(dir).Session("alice")
	r.callers = w.callers(25, r.session, b.Session("alice"))
	r.lifetime()
	r.end(3, ttl)
}

// lifetime is one of the access token, and its ban.
func (r *run) lifetime() {
	r.w.t.Helper()
	r.refresh(none, false)
	r.refresh(none, true)
}
