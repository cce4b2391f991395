package transport_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A record that is newer is taken only if it is the session's own: whoever could
// swap records in the store would otherwise have one user act as another.
func TestRule060_only_the_sessions_own_record_is_taken(t *testing.T) {
	own := tokenstore.Record{Issuer: "https://auth.test", ClientID: "app", Account: "alice"}
	process := func(t *testing.T, shelf *shelf, srv *server) *transport.Source {
		cfg := shelf.config(srv, nil)
		cfg.Issuer, cfg.ClientID, cfg.Account = own.Issuer, own.ClientID, own.Account
		return newSource(t, cfg)
	}
	for name, swap := range map[string]func(*tokenstore.Record){
		"issuer":  func(r *tokenstore.Record) { r.Issuer = "https://other.test" },
		"client":  func(r *tokenstore.Record) { r.ClientID = "other" },
		"account": func(r *tokenstore.Record) { r.Account = "mallory" },
		"nobody":  func(r *tokenstore.Record) { r.Issuer, r.ClientID, r.Account = "", "", "" },
	} {
		bubble(t, name, func(t *testing.T) {
			shelf, srv := newShelf(), &server{lifetime: time.Minute}
			src := process(t, shelf, srv)
			mustSet(t, src, srv.login())
			rec := shelf.record(t)
			if rec.Issuer != own.Issuer || rec.ClientID != own.ClientID || rec.Account != own.Account {
				t.Fatalf("stored is %v", rec)
			}
			swap(&rec)
			rec.Generation += 5
			rec.RefreshToken = tokenstore.NewSecret("canary-of-another")
			shelf.put(t, rec)
			swapped := string(shelf.get())
			wantToken(t, src, "at1") // still good
			time.Sleep(2 * time.Minute)
			for _, s := range []*transport.Source{src, process(t, shelf, srv)} {
				re := wantError(t, s, transport.StoreFailed)
				if !errors.Is(re, transport.ErrIdentity) || strings.Contains(re.Error(), "canary") {
					t.Errorf("error %v", re)
				}
				if err := s.Logout(t.Context()); !errors.Is(err, transport.ErrIdentity) {
					t.Errorf("Logout = %v", err)
				}
			}
			srv.wantCalls(t, 1)
			if string(shelf.get()) != swapped {
				t.Error("the record was overwritten")
			}
			mustSet(t, src, srv.login()) // but by a login
			wantToken(t, src, "at2")
			time.Sleep(2 * time.Minute)
			wantToken(t, src, "at3")
			if got := shelf.record(t); got.Account != own.Account || got.Issuer != own.Issuer || got.ClientID != own.ClientID {
				t.Errorf("stored is %v", got)
			}
		})
	}
	bubble(t, "a session that begins by itself", func(t *testing.T) {
		shelf, srv := newShelf(), &server{lifetime: time.Minute}
		wantToken(t, process(t, shelf, srv), "at1")
		wantToken(t, process(t, shelf, srv), "at1")
		if rec := shelf.record(t); rec.Account != own.Account {
			t.Errorf("stored is %v", rec)
		}
	})
	bubble(t, "a session that says nothing of whose it is", func(t *testing.T) {
		shelf, srv, src := running(t, nil)
		rec := shelf.record(t)
		rec.Account = "anybody"
		rec.Generation++
		shelf.put(t, rec)
		time.Sleep(2 * time.Minute)
		wantToken(t, src, "at3")
		srv.wantNoReuse(t)
	})
}
