package interop_test

import (
	"context"
	"testing"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/interop/fositeserver"
	"github.com/freshet-go/freshet/internal/interop/person"
	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
)

// proving binds tokens to a key, for a client of which the server demands it.
func proving(store tokenstore.Store) func(*client.Config) {
	return func(cfg *client.Config) { cfg.DPoP, cfg.Store = &client.DPoP{}, store }
}

// TestDPoPLifetimes is TestLifetimes with tokens that are bound to a key, at a server and
// an API that both demand nonces and change them; after half of it the program starts
// again. Every request is sent three times at the most, and no session is lost.
func TestDPoPLifetimes(t *testing.T) {
	t.Parallel()
	const ttl = 10 * time.Second
	lifetimes := min(max(int(testenv.Time(t)/time.Second), 4), 20)
	w := newWorldOf(t, oidc, ttl)
	w.front.SetPolicy(testserver.Policy{DPoPNonce: true, DPoPNonceLifetime: ttl})
	store := new(tokenstore.Memory)
	s := w.discovered(bound, client.None{}, proving(store)).Session("alice")
	if err := s.Login(t.Context(), w.options()); err != nil {
		t.Fatal(err)
	}
	for part := range 2 {
		if part > 0 { // the program starts again
			s = w.discovered(bound, client.None{}, proving(store)).Session("alice")
			w.wantCall(s, ok)
		}
		r := w.run(50, s)
		r.nonces = true
		for i := range lifetimes / 2 {
			r.refresh(faults[(part+2*i)%len(faults)], false)
			r.refresh(faults[(part+2*i+len(faults)/2)%len(faults)], true)
			w.front.RotateNonces()
		}
		r.callers.end()
		w.close(w.clients...)
		if n := r.calls[twice]; n > r.calls[ok]/1000 {
			t.Errorf("%d calls of %d were refused three times", n, r.calls[ok])
		}
		granted, asked := r.chain()
		t.Logf("part %d: %d refreshes carried out, %d asked for; calls: %v", part, granted, asked, r.calls)
	}
	w.wantProofs()
}

// wantProofs checks that what came to the token endpoint and the API was proved with one
// key, each time anew.
func (w *world) wantProofs() {
	w.t.Helper()
	var jkt string
	seen := make(map[string]bool)
	for _, e := range w.front.Log().Entries() {
		if e.Endpoint != testserver.Token && e.Endpoint != testserver.API {
			continue
		}
		p, err := testserver.ReadProof(e.Header.Get("DPoP"))
		if err != nil || seen[p.ID] || jkt != "" && p.Thumbprint != jkt {
			w.t.Fatalf("%v: the proof is %+v, %v", e, p, err)
		}
		seen[p.ID], jkt = true, p.Thumbprint
	}
	w.t.Logf("%d proofs of one key", len(seen))
}

// TestDPoPDevice signs in on another device.
func TestDPoPDevice(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, oidc, time.Hour)
	w.front.SetPolicy(testserver.Policy{DPoPNonce: true})
	s := w.discovered(bound, client.None{}, proving(nil)).Session("alice")
	alice := person.Person{Name: "alice", Password: fositeserver.Password}
	err := s.LoginDevice(t.Context(), func(ctx context.Context, p client.DevicePrompt) error {
		return alice.Confirm(ctx, p.VerificationURIComplete)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.wantCall(s, ok)
	w.ban(s)
	w.wantCall(s, ok)
	w.wantProofs()
}
