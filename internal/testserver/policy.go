package testserver

import (
	"maps"
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

	// ClientAuth is the client authentication that the token endpoint demands.
	// If empty, any.
	ClientAuth ClientAuth
	// Clients has the secret of every known client by its id, "" for a public
	// one. If nil, every client is taken, whatever its secret.
	Clients map[string]string
	// RawBasic reads id and secret of Basic authentication as they are. If
	// false they are form-decoded (RFC 6749 §2.3.1).
	RawBasic bool

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
	c.Clients = maps.Clone(p.Clients)
	return c
}

func (p *Policy) accessLifetime() time.Duration {
	if p.AccessLifetime == 0 {
		return time.Hour
	}
	return p.AccessLifetime
}

func (p *Policy) scope() string {
	if p.Scope == "" {
		return "read write"
	}
	return p.Scope
}

func (p *Policy) tokenType() string {
	if p.TokenType == "" {
		return "Bearer"
	}
	return p.TokenType
}

// in returns the end of a lifetime that begins now; zero is for ever.
func in(now time.Time, lifetime time.Duration) time.Time {
	if lifetime == 0 {
		return time.Time{}
	}
	return now.Add(lifetime)
}
