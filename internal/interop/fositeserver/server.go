// Package fositeserver is an authorization server made of ory/fosite's handlers
// and its own store in memory: authorization code with PKCE, pushed authorization
// requests, client credentials, JWT bearer, refresh and revocation, with metadata.
//
// Each refresh rotates the refresh token and ends the access token before. A spent
// refresh token that comes again ends the session, without any grace.
package fositeserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
)

// A Config says what the server is told about its surroundings.
type Config struct {
	Issuer         string        // its own URL, without a path
	RedirectURI    string        // of all clients, beside http://127.0.0.1/callback
	AccessLifetime time.Duration // fosite rounds the end of a token to the second
}

// A Client is registered at the server.
type Client struct {
	ID, Secret string
	auth       string // its token_endpoint_auth_method
}

// The clients, all of which have all grants.
var (
	Web  = Client{"web", "web-secret", "client_secret_basic"}
	Post = Client{"post", "post-secret", "client_secret_post"}
	Odd  = Client{"odd:id", "p%ss w+rd/&=:x", "client_secret_basic"} // must be form-encoded
	// OddPost is Odd in the form, where everything is encoded anyway.
	OddPost = Client{"odd:id in the form", "p%ss w+rd/&=:x", "client_secret_post"}
	// Public has no secret, and ByKey signs with Key.
	Public = Client{"native", "", "none"}
	ByKey  = Client{"by-key", "", "private_key_jwt"}
)

// Key signs the JWTs of the client ByKey, and those that vouch for the account alice
// (RFC 7523).
var Key = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

// KeyID is the name of Key, and Voucher the issuer of the JWTs that vouch.
const (
	KeyID   = "k1"
	Voucher = "https://vouches.example.com"
)

func publicKey() jose.JSONWebKey {
	return jose.JSONWebKey{Key: Key().Public(), KeyID: KeyID, Algorithm: "ES256", Use: "sig"}
}

// Scopes is what clients may ask for. Without offline_access there is no refresh
// token.
var Scopes = []string{"openid", "offline_access", "read", "write"}

// A Server is the authorization server. It is safe for concurrent use.
type Server struct {
	mux    http.ServeMux
	oauth  fosite.OAuth2Provider
	store  *store
	issuer string
	logins sync.Map // of those who are signing in: id → fosite.AuthorizeRequester
}

// The paths of the endpoints.
const (
	AuthPath   = "/auth"
	TokenPath  = "/token"
	RevokePath = "/revoke"
	PushPath   = "/par"
	loginPath  = "/login"
)

// New returns a server with all clients.
func New(cfg Config) *Server {
	secret := make([]byte, 32)
	rand.Read(secret)
	config := &fosite.Config{
		AccessTokenLifespan:  cfg.AccessLifetime,
		RefreshTokenLifespan: time.Hour,
		IDTokenIssuer:        cfg.Issuer,
		AccessTokenIssuer:    cfg.Issuer,
		TokenURL:             cfg.Issuer + TokenPath,
		GlobalSecret:         secret,
		EnforcePKCE:          true,
		RefreshTokenScopes:   []string{"offline_access"},
		ScopeStrategy:        fosite.ExactScopeStrategy,
		HashCost:             4, // the least there is
	}
	config.PushedAuthorizeRequestURIPrefix = "urn:ietf:params:oauth:request_uri:"
	config.PushedAuthorizeContextLifespan = time.Minute
	config.GrantTypeJWTBearerMaxDuration = time.Hour
	s := &Server{store: newStore(), issuer: cfg.Issuer}
	key := publicKey()
	s.store.IssuerPublicKeys[Voucher] = storage.IssuerPublicKeys{Issuer: Voucher, KeysBySub: map[string]storage.SubjectPublicKeys{
		"alice": {Subject: "alice", Keys: map[string]storage.PublicKeyScopes{KeyID: {Key: &key, Scopes: Scopes}}},
	}}
	for _, c := range []Client{Web, Post, Odd, OddPost, Public, ByKey} {
		s.store.Clients[c.ID] = c.register(config, cfg.RedirectURI)
	}
	s.oauth = compose.Compose(config, s.store, strategy(config),
		compose.OAuth2AuthorizeExplicitFactory,
		compose.OAuth2ClientCredentialsGrantFactory,
		compose.OAuth2RefreshTokenGrantFactory,
		compose.OAuth2PKCEFactory,
		compose.PushedAuthorizeHandlerFactory,
		compose.RFC7523AssertionGrantFactory,
		compose.OAuth2TokenIntrospectionFactory,
		compose.OAuth2TokenRevocationFactory,
		compose.OpenIDConnectExplicitFactory,
		compose.OpenIDConnectRefreshFactory,
	)
	s.mux.HandleFunc(AuthPath, s.authorize)
	s.mux.HandleFunc("POST "+loginPath, s.login)
	s.mux.HandleFunc(TokenPath, s.token)
	s.mux.HandleFunc(RevokePath, s.revoke)
	s.mux.HandleFunc(PushPath, s.push)
	s.mux.HandleFunc("/.well-known/openid-configuration", s.metadata)
	return s
}

func (c Client) register(config *fosite.Config, redirectURI string) fosite.Client {
	hash, err := (&fosite.BCrypt{Config: config}).Hash(context.Background(), []byte(c.Secret))
	if err != nil {
		panic(err)
	}
	return &fosite.DefaultOpenIDConnectClient{
		DefaultClient: &fosite.DefaultClient{
			ID:            c.ID,
			Secret:        hash,
			RedirectURIs:  []string{redirectURI, "http://127.0.0.1/callback"},
			GrantTypes:    []string{"authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"},
			Public:        c.auth == "none",
			ResponseTypes: []string{"code"},
			Scopes:        Scopes,
		},
		TokenEndpointAuthMethod:           c.auth,
		TokenEndpointAuthSigningAlgorithm: "ES256",
		JSONWebKeys:                       &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{publicKey()}},
	}
}

// signingKey is that of all servers of the process: making one takes a while.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func strategy(config *fosite.Config) *compose.CommonStrategy {
	key := func(context.Context) (any, error) { return signingKey() }
	return &compose.CommonStrategy{
		CoreStrategy:               compose.NewOAuth2HMACStrategy(config),
		OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(key, config),
		Signer:                     &jwt.DefaultSigner{GetPrivateKey: key},
	}
}

// session is what fosite keeps of account's login, or reads one into.
func (s *Server) session(account string) *openid.DefaultSession {
	now := time.Now().UTC()
	return &openid.DefaultSession{
		Claims:  &jwt.IDTokenClaims{Issuer: s.issuer, Subject: account, IssuedAt: now, RequestedAt: now, AuthTime: now},
		Headers: &jwt.Headers{},
		Subject: account,
	}
}

// ServeHTTP serves the endpoints.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// KeepRefreshTokens makes refreshes, from now on, leave the refresh token as it is
// and answer "refresh_token": null, as servers do that don't rotate; or ends that.
func (s *Server) KeepRefreshTokens(on bool) { s.store.keep.Store(on) }
