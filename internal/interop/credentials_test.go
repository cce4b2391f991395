package interop_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/interop/fositeserver"
	"github.com/freshet-go/freshet/transport"
)

// as is a client whose sessions begin with its own credentials.
func as(who fositeserver.Client, auth client.Auth) func(*client.Config) {
	return func(cfg *client.Config) {
		cfg.ClientID, cfg.ClientSecret = who.ID, who.Secret
		cfg.Auth = auth
		cfg.Scopes = []string{"read", "write"}
		cfg.Grant = client.ClientCredentials{}
	}
}

func TestClientCredentials(t *testing.T) {
	for name, who := range map[string]func(*client.Config){
		"basic":              as(fositeserver.Web, client.ClientSecretBasic{}),
		"post":               as(fositeserver.Post, client.ClientSecretPost{}),
		"basic, odd letters": as(fositeserver.Odd, client.ClientSecretBasic{}),
		"post, odd letters":  as(fositeserver.OddPost, client.ClientSecretPost{}),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, time.Hour)
			s := w.client(nil, who).Session("")
			w.wantCall(s, ok)
			w.ban(s)
			w.wantCall(s, ok)
			if n := w.front.Log().Grants("client_credentials"); n != 2 {
				t.Errorf("%d tokens were granted, want 2", n)
			}
			tok, err := s.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tok.Type() != "Bearer" || tok.Scope() != "read write" {
				t.Errorf("a token of type %q for %q, want Bearer for \"read write\"", tok.Type(), tok.Scope())
			}
		})
	}
}

// TestRawBasic shows that the odd client is one: without the form encoding of RFC
// 6749 §2.3.1 fosite does not take it.
func TestRawBasic(t *testing.T) {
	w := newWorld(t, time.Hour)
	s := w.client(nil, as(fositeserver.Odd, client.ClientSecretBasic{}), func(cfg *client.Config) {
		cfg.Quirks.RawBasic = true
	}).Session("")
	if got := w.call(s); got == ok {
		t.Error("fosite took Basic credentials that were not form-encoded")
	}
}

// TestMisconfigured asks with what fosite refuses about the program. A login would
// not help, and asking again would not either; the session lives on. The answers
// are 401 without a WWW-Authenticate.
func TestMisconfigured(t *testing.T) {
	for name, edit := range map[string]func(*client.Config){
		"wrong secret":   func(cfg *client.Config) { cfg.ClientSecret = "wrong-secret" },
		"unknown client": func(cfg *client.Config) { cfg.ClientID = "nobody" },
		"wrong method":   func(cfg *client.Config) { cfg.Auth = client.ClientSecretPost{} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, time.Hour)
			tok := &oauth2.Token{RefreshToken: w.login().RefreshToken}
			s := w.imported(w.client(nil, edit), tok)
			for range 5 {
				_, err := s.Token(t.Context())
				wantMisconfigured(t, err)
				if text := err.Error(); strings.Contains(text, "-secret") || strings.Contains(text, tok.RefreshToken) {
					t.Errorf("a secret is in the error %s", text)
				}
			}
			w.wantRefreshes(1)
			w.wantCall(w.imported(w.client(nil), tok), ok)
		})
	}
}

func wantMisconfigured(t *testing.T, err error) {
	t.Helper()
	var re *transport.RefreshError
	if !errors.As(err, &re) || re.Kind != transport.Misconfigured {
		t.Errorf("error %v, want one of kind Misconfigured", err)
	}
	var se *client.ServerError
	if !errors.As(err, &se) || se.Status != 401 || se.Code != "invalid_client" {
		t.Errorf("error %v, want one that says 401 invalid_client", err)
	}
}
