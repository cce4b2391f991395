package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// metadataURLs returns where the metadata of an issuer may be: for OAuth between host
// and path (RFC 8414 §3.1), for OpenID behind the path (OpenID Connect Discovery §4.1).
// A slash at the end of the issuer is not part of either.
func metadataURLs(issuer string) []string {
	u, _ := url.Parse(issuer) // it was checked
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	host := u.Scheme + "://" + u.Host
	return []string{
		host + "/.well-known/oauth-authorization-server" + path,
		host + path + "/.well-known/openid-configuration",
	}
}

// metadata are the members of a document that are used (RFC 8414 §2, RFC 8628 §4, RFC
// 9126 §5, RFC 9207 §3, RFC 8705 §5).
type metadata struct {
	issuer         string
	urls           map[string]string
	aliases        members
	challenge      []string
	mustPush, tell bool
}

// endpointMembers are those that have the URL of an endpoint.
var endpointMembers = []string{
	"authorization_endpoint", "token_endpoint", "revocation_endpoint",
	"device_authorization_endpoint", "pushed_authorization_request_endpoint",
}

// readMetadata reads the document of an issuer. If anything in it that is used is
// wrong, nothing of it is. With tls the endpoints for mutual TLS count where there are
// such (RFC 8705 §5).
func readMetadata(text []byte, issuer string, tls bool) (endpoints, error) {
	if len(text) > maxAnswer {
		return endpoints{}, errTooLarge
	}
	ms, err := readJSON(text)
	if err != nil {
		return endpoints{}, err
	}
	m, err := ms.metadata()
	switch {
	case err != nil:
		return endpoints{}, err
	case m.issuer != issuer: // RFC 8414 §3.3: as strings
		return endpoints{}, fmt.Errorf("it is that of the issuer %q: if that is the server which you mean, set Config.Issuer to exactly this", clean(m.issuer, nil, maxShownURI))
	}
	if tls {
		if err := m.takeAliases(); err != nil {
			return endpoints{}, err
		}
	}
	if err := m.checkURLs(); err != nil {
		return endpoints{}, err
	}
	return endpoints{
		authorization: m.urls["authorization_endpoint"],
		token:         m.urls["token_endpoint"],
		revocation:    m.urls["revocation_endpoint"],
		device:        m.urls["device_authorization_endpoint"],
		pushed:        m.urls["pushed_authorization_request_endpoint"],
		mustPush:      m.mustPush,
		tellsIss:      m.tell,
		s256:          slices.Contains(m.challenge, "S256"),
	}, nil
}

// metadata returns the members that are used. One of another type than the standard
// says is an error.
func (ms members) metadata() (*metadata, error) {
	m := &metadata{urls: make(map[string]string)}
	read := func(name string, into any) error {
		if ms.absent(name) || json.Unmarshal(ms[name], into) == nil {
			return nil
		}
		return fmt.Errorf("its member %s is of a wrong type", name)
	}
	err := errors.Join(
		read("issuer", &m.issuer),
		read("code_challenge_methods_supported", &m.challenge),
		read("require_pushed_authorization_requests", &m.mustPush),
		read("authorization_response_iss_parameter_supported", &m.tell),
	)
	for _, name := range endpointMembers {
		var u string
		err = errors.Join(err, read(name, &u))
		m.urls[name] = u
	}
	if !ms.absent("mtls_endpoint_aliases") {
		var fault error
		m.aliases, fault = readJSON(ms["mtls_endpoint_aliases"])
		err = errors.Join(err, fault)
	}
	return m, err
}

// takeAliases replaces the URLs by those for mutual TLS (RFC 8705 §5).
func (m *metadata) takeAliases() error {
	for _, name := range endpointMembers {
		if m.aliases.absent(name) {
			continue
		}
		u, ok := m.aliases.text(name)
		if !ok {
			return fmt.Errorf("its member %s of mtls_endpoint_aliases is of a wrong type", name)
		}
		m.urls[name] = u
	}
	return nil
}

// checkURLs checks the URLs of the endpoints (RFC 6749 §3.1, §3.2). Plain http is for
// an issuer that has it itself.
func (m *metadata) checkURLs() error {
	if m.urls["token_endpoint"] == "" {
		return errors.New("it names no token_endpoint")
	}
	plain := strings.HasPrefix(m.issuer, "http://")
	for _, name := range endpointMembers {
		u := m.urls[name]
		if u == "" {
			continue
		}
		if fault := urlFault(u); fault != "" {
			return fmt.Errorf("its %s %s", name, fault)
		}
		if !plain && !strings.HasPrefix(strings.ToLower(u), "https://") {
			return fmt.Errorf("its %s is not https", name)
		}
	}
	return nil
}
