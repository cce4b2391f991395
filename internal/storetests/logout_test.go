//go:build unix

package storetests_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// use asks for a token whenever the parent says so, and tells what came of it.
func (w *worker) use() {
	cfg := w.job.Fleet.config(w.job.Name)
	cfg.Store = w.store
	c, err := client.New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	s := c.Session(account)
	for range w.told {
		_, err := s.Token(context.Background())
		w.say("login required %t, other error %t, state %s", errors.Is(err, client.ErrLoginRequired),
			err != nil && !errors.Is(err, client.ErrLoginRequired), s.Status().State)
	}
}

// A session is logged out while another process is in the middle of a refresh: what
// that brings does not outlive the logout, there or here.
func TestLogout_during_a_refresh_of_another_process(t *testing.T) {
	onStores(t, 3, false, func(t *testing.T, name string, s shared) {
		srv := testserver.NewLoopback()
		defer srv.Close()
		srv.SetPolicy(testserver.Policy{AccessLifetime: lifetime})
		j := job{Does: "user", Name: "user", Store: name, Place: newPlace(t), Leases: leases{10 * time.Second, 2 * time.Second}, Fleet: fleetJob{
			Issuer: srv.Issuer(), TokenURL: srv.TokenURL(), RefreshTimeout: 5 * time.Second,
		}}
		spy := &keySpy{Store: s.open(t, j.Place, j.Leases)}
		cfg := j.Fleet.config("parent")
		cfg.Store, cfg.RevocationURL = spy, srv.RevocationURL()
		c, err := client.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		here := c.Session(account)
		if err := here.Import(t.Context(), &oauth2.Token{RefreshToken: srv.BeginSession(account).RefreshToken}); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := start(t, j)
		p.hear("started")
		time.Sleep(lifetime) // the next token needs a refresh

		arrived, goOn := make(chan bool), make(chan bool)
		srv.Inject(testserver.OnRefresh, 1, func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			close(arrived)
			<-goOn
			next(w, r)
		})
		p.tell("token")
		<-arrived
		out := make(chan error)
		go func() { out <- here.Logout(t.Context()) }()
		time.Sleep(100 * time.Millisecond) // it waits for the exclusion
		close(goOn)
		p.hear("login required false, other error false, state fresh")
		if err := <-out; err != nil {
			t.Errorf("Logout: %v", err)
		}

		time.Sleep(lifetime) // of the token that the other process has
		refreshes := srv.Log().TokenRequests()
		for range 3 {
			p.tell("token")
			p.hear("login required true, other error false, state logged out")
			if _, err := here.Token(t.Context()); !errors.Is(err, client.ErrLoginRequired) || here.Status().State != transport.StateLoggedOut {
				t.Errorf("here: %v, %v", err, here.Status())
			}
		}
		if n := srv.Log().TokenRequests() - refreshes; n != 0 {
			t.Errorf("%d token requests after the logout", n)
		}
		b, err := spy.Load(t.Context(), spy.key)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := tokenstore.DecodeRecord(b)
		if err != nil || !rec.Ended {
			t.Errorf("stored is %v (%v)", rec, err)
		}
		revoked := false
		for _, e := range srv.Log().Entries() {
			for _, token := range []string{e.NewAccessToken, e.NewRefreshToken, e.RefreshToken} {
				if token != "" && bytes.Contains(b, []byte(token)) {
					t.Errorf("the store still has %s", testserver.Fingerprint(token))
				}
			}
			revoked = revoked || e.Endpoint == testserver.Revoke && e.Granted
		}
		if !revoked {
			t.Error("nothing was revoked")
		}
	})
}
