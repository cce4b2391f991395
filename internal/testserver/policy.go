package testserver

import (
	"cmp"
	"crypto"
	"maps"
	"slices"
	"time"
)

// A Policy is what the server does as a rule. The zero value is a strict server
// with good manners. Change it at any time with [Server.UpdatePolicy]; requests
// that are being served may see the old or the new one, never a mixture.
type Policy struct {
	// AccessLifetime is how long an access token works. If zero, an hour.
	AccessLifetime time.Duration
	// RefreshLifetime is how long a refresh token works. If zero, for ever.
	RefreshLifetime time.Duration
	// ClockSkew is how far the server's clock is ahead; negative, behind. It
	// decides whether a token has expired and goes into every absolute time
	// that the server tells. To change it makes the server's clock jump.
	ClockSkew time.Duration

	// Rotation says what becomes of a refresh token that was used, and what
	// the answer says of it. If zero, [Rotate].
	Rotation Rotation
	// Reuse says what happens when a spent refresh token comes again. If zero,
	// [RevokeFamily].
	Reuse Reuse
	// Grace is how long after its use a refresh token is taken once more, as
	// long as nothing newer than its successors was used. If zero, never.
	Grace time.Duration
	// GraceNew answers a refresh within Grace with a further successor, and all
	// of them work. If false, it repeats the first one.
	GraceNew bool
	// RevokeAll ends the session when one of its access tokens is revoked, as
	// some servers do. If false, only that token dies.
	RevokeAll bool
	// KillOldAccess makes the session's older access tokens die at a refresh.
	KillOldAccess bool

	// Scope is granted where no other scope is asked for. If empty, "read write".
	Scope string
	// TokenType is what answers say. If empty, "Bearer".
	TokenType string
	// IDToken adds an id_token to the answers to logins and refreshes: a JWT,
	// signed with a key that nobody has.
	IDToken bool
	// AccessJWT makes access tokens JWTs of whole seconds, without an id: those
	// of one session that are made in one second are the same text. To issue
	// one again undoes its revocation.
	AccessJWT bool
	// TokenSize is the length in bytes to which tokens are padded, JWTs not.
	TokenSize int

	// Members replaces, adds or, with [Omit], leaves out members of token
	// answers. Values are JSON text and are sent as they are:
	//
	//	Members: map[string]string{"expires_in": `"3600"`, "scope": `["read"]`, "id_token": testserver.Omit}
	//
	// It changes what is said, not what is: see AccessLifetime for that.
	Members map[string]string
	// ExpiresAt adds expires_at, the absolute time in seconds.
	ExpiresAt bool
	// FormEncoded makes the token endpoint's answers, errors too, forms.
	FormEncoded bool
	// ContentType is that of the token endpoint's answers, if not empty; [Omit]
	// sends none.
	ContentType string

	// Metadata replaces, adds or, with [Omit], leaves out members of the metadata
	// documents, as Members does for token answers.
	Metadata map[string]string
	// Documents says where there is a metadata document. If zero, in both places.
	Documents Documents

	// RedirectURIs are those that are registered. A port of a loopback address is
	// not compared (RFC 8252 §7.3). If nil, every one is taken.
	RedirectURIs []string
	// Passwords has the password of every user by the name of the account. If nil,
	// everybody is a user, whatever the password.
	Passwords map[string]string
	// CodeLifetime is how long an authorization code works. If zero, a minute.
	CodeLifetime time.Duration
	// AllowPlain takes an authorization request without PKCE. If false it has to have
	// a challenge by S256 (RFC 7636).
	AllowPlain bool
	// Iss is the iss parameter of authorization responses (RFC 9207); [Omit] leaves
	// it out. If empty, the issuer.
	Iss string
	// RequirePush takes an authorization request only if it was pushed (RFC 9126).
	RequirePush bool

	// Device replaces, adds or, with [Omit], leaves out members of device
	// authorization answers.
	Device map[string]string
	// DeviceLifetime is how long a device code works. If zero, ten minutes.
	DeviceLifetime time.Duration
	// PollInterval is how long a client has to wait between two polls with a device
	// code. If zero, 5 s.
	PollInterval time.Duration

	// ClientKeys has the public keys of clients that authenticate with a JWT (RFC
	// 7523 §2.2) by their ids.
	ClientKeys map[string]crypto.PublicKey
	// TokenAudience demands the URL of the token endpoint as the audience of such a
	// JWT. If false it has to be the issuer.
	TokenAudience bool

	// ClientAuth is the client authentication that the token endpoint demands.
	// If empty, any.
	ClientAuth ClientAuth
	// Clients has the secret of every known client by its id, "" for a public
	// one. If nil, every client is taken, whatever its secret.
	Clients map[string]string
	// RawBasic reads id and secret of Basic authentication as they are. If
	// false they are form-decoded (RFC 6749 §2.3.1).
	RawBasic bool

	// DPoP refuses token requests without a proof of possession (RFC 9449). If false,
	// tokens are bound where a request has one.
	DPoP bool
	// DPoPNonce demands nonces in proofs, others at the token endpoint than at the API.
	DPoPNonce bool
	// DPoPNonceLifetime is how long a nonce is the newest; the one before is taken as
	// well. If zero, 5 minutes.
	DPoPNonceLifetime time.Duration

	// TokenLatency and APILatency are how long the endpoints take before they
	// act.
	TokenLatency, APILatency time.Duration
	// EarlyReject makes the API answer 401 before it has read the body of the
	// request. If false it reads the body first.
	EarlyReject bool
}

// Omit, as the text of a member or header, leaves it out.
const Omit = "\x00omit"

// Rotation says what becomes of a refresh token that was used.
type Rotation int

// The kinds of rotation.
const (
	Rotate       Rotation = iota // it is spent; the answer has its successor
	KeepRepeated                 // it goes on working; the answer repeats it
	KeepOmitted                  // … the answer has no refresh_token
	KeepEmpty                    // … the answer has refresh_token ""
	KeepNull                     // … the answer has refresh_token null
)

// Reuse says what happens when a spent refresh token comes again.
type Reuse int

// The answers to reuse. Each is invalid_grant to the one who asked.
const (
	RevokeFamily Reuse = iota // the session ends, its access tokens die
	RefuseReuse               // nothing else happens
)

// ClientAuth is a way in which a client authenticates, by its registered name.
type ClientAuth string

// The ways to authenticate.
const (
	AuthAny   ClientAuth = ""
	AuthNone  ClientAuth = "none"
	AuthBasic ClientAuth = "client_secret_basic"
	AuthPost  ClientAuth = "client_secret_post"
	AuthJWT   ClientAuth = "private_key_jwt" // or client_secret_jwt
)

// Documents says where there is a metadata document.
type Documents int

// The places of metadata documents.
const (
	BothDocuments  Documents = iota
	OAuthDocument            // RFC 8414 alone
	OpenIDDocument           // OpenID Connect Discovery alone
	NoDocument
)

// Policy returns the policy in force.
func (s *Server) Policy() Policy { return s.policy.Load().clone() }

// SetPolicy replaces the policy.
func (s *Server) SetPolicy(p Policy) {
	p = p.clone()
	s.policy.Store(&p)
}

// UpdatePolicy changes the policy by what change makes of it, which may run
// more than once if others change it too.
func (s *Server) UpdatePolicy(change func(*Policy)) {
	for {
		old := s.policy.Load()
		p := old.clone()
		change(&p)
		if s.policy.CompareAndSwap(old, &p) {
			return
		}
	}
}

func (p *Policy) clone() Policy {
	c := *p
	c.Members = maps.Clone(p.Members)
	c.Metadata = maps.Clone(p.Metadata)
	c.RedirectURIs = slices.Clone(p.RedirectURIs)
	c.Passwords = maps.Clone(p.Passwords)
	c.Device = maps.Clone(p.Device)
	c.ClientKeys = maps.Clone(p.ClientKeys)
	c.Clients = maps.Clone(p.Clients)
	return c
}

func (p *Policy) accessLifetime() time.Duration { return cmp.Or(p.AccessLifetime, time.Hour) }
func (p *Policy) codeLifetime() time.Duration   { return cmp.Or(p.CodeLifetime, time.Minute) }
func (p *Policy) deviceLifetime() time.Duration { return cmp.Or(p.DeviceLifetime, 10*time.Minute) }
func (p *Policy) pollInterval() time.Duration   { return cmp.Or(p.PollInterval, 5*time.Second) }

func (p *Policy) scope() string {
	if p.Scope == "" {
		return "read write"
	}
	return p.Scope
}

func (p *Policy) tokenType(bound bool) string {
	switch {
	case p.TokenType != "":
		return p.TokenType
	case bound:
		return "DPoP"
	}
	return "Bearer"
}

// in returns the end of a lifetime that begins now; zero is for ever.
func in(now time.Time, lifetime time.Duration) time.Time {
	if lifetime == 0 {
		return time.Time{}
	}
	return now.Add(lifetime)
}
