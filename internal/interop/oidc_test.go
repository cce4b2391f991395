package interop_test

import (
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v3"

	"github.com/freshet-go/freshet/internal/interop/fositeserver"
	"github.com/freshet-go/freshet/internal/interop/oidcprovider"
	"github.com/freshet-go/freshet/internal/testenv"
)

// What only one of the two servers has.
var (
	bySecret = fositeserver.Client{ID: "by-secret", Secret: strings.Repeat("client-secret", 4)} // client_secret_jwt
	bound    = fositeserver.Client{ID: "bound"}                                                 // DPoP
	pushing  = fositeserver.Client{ID: "pushing", Secret: "pushing-secret"}                     // must use PAR
)

// startOIDC starts oidc-provider with the clients that fosite has, and those two.
func (w *world) startOIDC(lifetime time.Duration) provider {
	w.t.Helper()
	testenv.Tool(w.t, "node")
	testenv.Tool(w.t, "npm")
	key := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: fositeserver.Key().Public(), KeyID: fositeserver.KeyID, Algorithm: "ES256", Use: "sig"}}}
	s, err := oidcprovider.Start(oidcprovider.Config{
		Issuer:         w.front.Issuer(),
		RedirectURIs:   []string{w.callback, "http://127.0.0.1/callback"},
		Resources:      []string{w.front.APIURL(""), "https://other.example.com"},
		AccessLifetime: int(lifetime / time.Second),
		Clients: []oidcprovider.Client{
			{ID: fositeserver.Web.ID, Secret: fositeserver.Web.Secret, Auth: "client_secret_basic"},
			{ID: fositeserver.Odd.ID, Secret: fositeserver.Odd.Secret, Auth: "client_secret_basic"},
			{ID: fositeserver.Post.ID, Secret: fositeserver.Post.Secret, Auth: "client_secret_post"},
			{ID: fositeserver.Public.ID, Auth: "none"},
			{ID: fositeserver.ByKey.ID, Auth: "private_key_jwt", Alg: "ES256", Keys: key},
			{ID: bySecret.ID, Secret: bySecret.Secret, Auth: "client_secret_jwt"},
			{ID: bound.ID, Auth: "none", DPoP: true},
			{ID: pushing.ID, Secret: pushing.Secret, Auth: "client_secret_basic", Push: true},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			w.t.Errorf("oidc-provider: %v", err)
		}
	})
	return s
}

// params are what an authorization request needs beside the usual: oidc-provider gives a
// refresh token only to who asks for consent.
func (w *world) params() url.Values {
	if w.kind == oidc {
		return url.Values{"prompt": {"consent"}}
	}
	return nil
}
