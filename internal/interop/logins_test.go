package interop_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v3"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/internal/interop/fositeserver"
	"github.com/freshet-go/freshet/internal/interop/person"
	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
)

// discovered returns a client that knows its server by the issuer alone.
func (w *world) discovered(who fositeserver.Client, auth client.Auth, edits ...func(*client.Config)) *client.Client {
	w.t.Helper()
	return w.client(nil, append([]func(*client.Config){func(cfg *client.Config) {
		cfg.Issuer, cfg.Endpoint.TokenURL, cfg.Endpoint.AuthURL = w.front.Issuer(), "", ""
		cfg.ClientID, cfg.ClientSecret, cfg.Auth = who.ID, who.Secret, auth
		if _, ok := auth.(client.PrivateKeyJWT); ok {
			cfg.Quirks.TokenEndpointAudience = w.kind == fosite // which takes no other
		}
	}}, edits...)...)
}

// options are those of a login by alice.
func (w *world) options() *client.LoginOptions {
	alice := person.Person{Name: "alice", Password: fositeserver.Password}
	return &client.LoginOptions{Params: w.params(), Open: alice.Visit}
}

var byKey = client.PrivateKeyJWT{Key: fositeserver.Key(), KeyID: fositeserver.KeyID}

// TestLogins signs in at both servers in every way that they have, and lives through a
// refresh and a logout: discovery, code with PKCE, pushed where the server can, the
// client's authentication, rotation, revocation.
func TestLogins(t *testing.T) {
	for _, kind := range kinds {
		for name, who := range map[string]struct {
			client fositeserver.Client
			auth   client.Auth
			only   string
		}{
			"public":             {fositeserver.Public, client.None{}, ""},
			"basic":              {fositeserver.Web, client.ClientSecretBasic{}, ""},
			"basic, odd letters": {fositeserver.Odd, client.ClientSecretBasic{}, ""},
			"post":               {fositeserver.Post, client.ClientSecretPost{}, ""},
			"private_key_jwt":    {fositeserver.ByKey, byKey, ""},
			"client_secret_jwt":  {bySecret, client.ClientSecretJWT{}, oidc},
			"must push":          {pushing, client.ClientSecretBasic{}, oidc},
		} {
			if who.only != "" && who.only != kind {
				continue
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				w := newWorldOf(t, kind, time.Hour)
				s := w.discovered(who.client, who.auth).Session("alice")
				if err := s.Login(t.Context(), w.options()); err != nil {
					t.Fatal(err)
				}
				w.wantCall(s, ok)
				w.ban(s)
				w.wantCall(s, ok)
				tok, err := s.Token(t.Context())
				if err != nil || tok.IDToken() == "" {
					t.Errorf("id_token there: %t, %v", tok.IDToken() != "", err)
				}
				w.wantRefreshes(1)
				last := tok.Reveal()
				if err := s.Logout(t.Context()); err != nil {
					t.Error(err)
				}
				if _, _, fault := w.server.Check(t.Context(), last); fault == "" {
					t.Error("the access token is good after the logout")
				}
				w.wantCall(s, needsLogin)
				if err := s.Login(t.Context(), w.options()); err != nil {
					t.Fatal(err)
				}
				w.wantCall(s, ok)
			})
		}
	}
}

// TestLoginInABackEnd also checks iss and nonce, and what becomes of a user who says no.
func TestLoginInABackEnd(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			w := newWorldOf(t, kind, time.Hour)
			c := w.discovered(fositeserver.Web, nil, func(cfg *client.Config) { cfg.RedirectURL = w.callback })
			login, err := c.BeginLogin(t.Context(), &client.LoginOptions{Account: "alice", Params: w.params(), Nonce: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.options().Open(t.Context(), login.URL()); err != nil {
				t.Fatal(err)
			}
			params := <-w.arrivals
			if kind == oidc && params.Get("iss") != w.front.Issuer() {
				t.Errorf("iss is %q", params.Get("iss"))
			}
			s, err := c.FinishLogin(t.Context(), login, params)
			if err != nil {
				t.Fatal(err)
			}
			w.wantCall(s, ok)
		})
	}
}

// TestDevice signs in on another device.
func TestDevice(t *testing.T) {
	w := newWorldOf(t, oidc, time.Hour)
	s := w.discovered(fositeserver.Public, nil).Session("alice")
	err := s.LoginDevice(t.Context(), func(ctx context.Context, p client.DevicePrompt) error {
		return person.Person{Name: "alice", Password: fositeserver.Password}.Confirm(ctx, p.VerificationURIComplete)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.wantCall(s, ok)
	w.ban(s)
	w.wantCall(s, ok)
}

// TestResources has tokens for two APIs with one refresh token (RFC 8707).
func TestResources(t *testing.T) {
	w := newWorldOf(t, oidc, time.Hour)
	api, other := w.front.APIURL(""), "https://other.example.com"
	c := w.discovered(fositeserver.Web, nil, func(cfg *client.Config) {
		cfg.Resources = []string{api}
		cfg.Origins = []string{api}
	})
	s := c.Session("alice")
	if err := s.Login(t.Context(), w.options()); err != nil {
		t.Fatal(err)
	}
	view, wrong := s.For(client.Target{Resources: []string{api}}), s.For(client.Target{Resources: []string{other}})
	w.wantCall(view, ok)
	w.wantCall(s, ok)
	if _, err := wrong.Token(t.Context()); err == nil { // oidc-provider would spend the refresh token on it, and give no other
		t.Error("a resource that was not granted is asked for")
	}
	w.ban(s)
	w.wantCall(s, ok)
	w.wantCall(view, ok)
	resources := w.front.Log().Select(func(e testserver.Entry) bool {
		return e.Grant == "refresh_token" && slices.Equal(e.Form["resource"], []string{api})
	})
	if len(resources) != 2 {
		t.Errorf("%d refreshes for the API, want that of the view and that of the session", len(resources))
	}
}

// TestJWTBearer has a session that somebody else vouches for (RFC 7523).
func TestJWTBearer(t *testing.T) {
	w := newWorldOf(t, fosite, time.Hour)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: fositeserver.Key()}, (&jose.SignerOptions{}).WithHeader("kid", fositeserver.KeyID))
	if err != nil {
		t.Fatal(err)
	}
	vouch := func(context.Context) (string, error) {
		return signed(signer, map[string]any{
			"iss": fositeserver.Voucher, "sub": "alice", "aud": w.front.TokenURL(), "jti": tokenstore.NewSessionID(""),
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		})
	}
	s := w.discovered(fositeserver.Web, nil, func(cfg *client.Config) {
		cfg.Grant, cfg.Scopes = client.JWTBearer{Assertion: vouch}, []string{"read"}
	}).Session("")
	w.wantCall(s, ok)
	w.ban(s)
	w.wantCall(s, ok)
	if n := w.front.Log().Grants("urn:ietf:params:oauth:grant-type:jwt-bearer"); n != 2 {
		t.Errorf("%d tokens were granted, want 2", n)
	}
}

func signed(signer jose.Signer, claims map[string]any) (string, error) {
	b, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(b)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}
