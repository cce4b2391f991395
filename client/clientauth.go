package client

import (
	"encoding/base64"
	"net/http"
	"net/url"

	"github.com/freshet-go/freshet/tokenstore"
)

// An Auth is how the client proves to the server who it is (RFC 6749 §2.3):
// [ClientSecretBasic], [ClientSecretPost], [ClientSecretJWT], [PrivateKeyJWT],
// [MutualTLS] or [None]. One way is used for every request, and no other is tried if the
// server refuses it.
type Auth interface {
	// authenticate puts the proof into one request to the server. It is called
	// anew for each time that a request is sent, also again.
	authenticate(id identity, form url.Values, header http.Header) error

	// takesSecret reports whether the proof is made from the client secret.
	takesSecret() bool

	check(c *Config, p *problems)
}

// An identity is who the client is.
type identity struct {
	id       string
	secret   tokenstore.Secret
	rawBasic bool
	audience string // of JWTs: the issuer
}

// ClientSecretBasic sends id and secret in the Authorization header: HTTP Basic
// authentication, the default with a secret.
type ClientSecretBasic struct{}

// authenticate is RFC 6749 §2.3.1: id and secret are each form-urlencoded
// (appendix B) before they are put together.
func (ClientSecretBasic) authenticate(c identity, _ url.Values, header http.Header) error {
	id, secret := c.id, c.secret.Reveal()
	if !c.rawBasic {
		id, secret = url.QueryEscape(id), url.QueryEscape(secret)
	}
	header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))
	return nil
}

func (ClientSecretBasic) takesSecret() bool        { return true }
func (ClientSecretBasic) check(*Config, *problems) {}

// ClientSecretPost sends id and secret in the form of the request, for servers
// that do not take [ClientSecretBasic].
type ClientSecretPost struct{}

func (ClientSecretPost) authenticate(c identity, form url.Values, _ http.Header) error {
	form.Set("client_id", c.id)
	form.Set("client_secret", c.secret.Reveal())
	return nil
}

func (ClientSecretPost) takesSecret() bool        { return true }
func (ClientSecretPost) check(*Config, *problems) {}

// None is a public client: it has no secret, and says who it is by client_id
// (RFC 6749 §3.2.1). It is the default without a secret.
type None struct{}

func (None) authenticate(c identity, form url.Values, _ http.Header) error {
	form.Set("client_id", c.id)
	return nil
}

func (None) takesSecret() bool        { return false }
func (None) check(*Config, *problems) {}
