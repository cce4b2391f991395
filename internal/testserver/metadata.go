package testserver

import (
	"net/http"
	"strings"
)

// AuthURL returns the URL of the authorization endpoint.
func (s *Server) AuthURL() string { return s.issuer + authorizePath }

// PushURL returns the URL of the pushed authorization request endpoint (RFC 9126).
func (s *Server) PushURL() string { return s.issuer + pushPath }

// DeviceURL returns the URL of the device authorization endpoint (RFC 8628).
func (s *Server) DeviceURL() string { return s.issuer + devicePath }

// serveMetadata serves the documents of RFC 8414 and OpenID Connect Discovery, which are
// the same, and the keys of id_tokens.
//
// What is before or behind the well-known part of the path is a part of the issuer: the
// server is as many issuers as it is asked for, all with the same endpoints.
func (s *Server) serveMetadata(w http.ResponseWriter, r *http.Request) {
	p := s.policy.Load()
	if r.URL.Path == keysPath {
		writeAnswer(w, &Policy{}, http.StatusOK, members{"keys": "[" + s.tokens.publicKey() + "]"})
		return
	}
	before, after, _ := strings.Cut(r.URL.Path, wellKnown)
	name, after, _ := strings.Cut(after, "/")
	switch {
	case name == "oauth-authorization-server" && before == "" && p.Documents <= OAuthDocument:
	case name == "openid-configuration" && after == "" && p.Documents%2 == 0 && p.Documents <= OpenIDDocument:
	default:
		http.NotFound(w, r)
		return
	}
	issuer := s.issuer + before
	if after != "" {
		issuer += "/" + after
	}
	writeAnswer(w, &Policy{}, http.StatusOK, s.metadata(p, issuer))
}

func (s *Server) metadata(p *Policy, issuer string) members {
	m := members{
		"response_types_supported":                       `["code"]`,
		"code_challenge_methods_supported":               `["S256"]`,
		"token_endpoint_auth_methods_supported":          `["client_secret_basic","client_secret_post","client_secret_jwt","private_key_jwt","none"]`,
		"dpop_signing_alg_values_supported":              `["ES256","ES384","ES512","EdDSA","RS256","PS256"]`,
		"subject_types_supported":                        `["public"]`,
		"id_token_signing_alg_values_supported":          `["ES256"]`,
		"authorization_response_iss_parameter_supported": "true",
		"grant_types_supported":                          `["authorization_code","refresh_token","client_credentials","` + grantDevice + `","` + grantJWT + `","` + grantExchange + `"]`,
	}
	if p.RequirePush {
		m["require_pushed_authorization_requests"] = "true"
	}
	for name, value := range map[string]string{
		"issuer":                                issuer,
		"authorization_endpoint":                s.AuthURL(),
		"token_endpoint":                        s.TokenURL(),
		"revocation_endpoint":                   s.RevocationURL(),
		"device_authorization_endpoint":         s.DeviceURL(),
		"pushed_authorization_request_endpoint": s.PushURL(),
		"jwks_uri":                              s.issuer + keysPath,
	} {
		m.text(name, value)
	}
	m.change(p.Metadata)
	return m
}

// change replaces, adds or leaves out members.
func (m members) change(by map[string]string) {
	for name, value := range by {
		m[name] = value
		if value == Omit {
			delete(m, name)
		}
	}
}
