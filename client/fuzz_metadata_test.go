package client

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzMetadata: whatever a server writes, what is used of it is of the issuer, and
// safe to send a secret to.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{
		document(testIssuer), document(testIssuer, `"authorization_endpoint":"https://auth.example.com/a?b=c"`), document("https://evil.test"),
		document(testIssuer, `"mtls_endpoint_aliases":{"token_endpoint":"https://mtls.example.com/token"}`), `{"issuer":null}`,
		document(testIssuer, `"code_challenge_methods_supported":["plain","S256"]`), "{", document(testIssuer, `"revocation_endpoint":"http://x"`),
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, tls bool) {
		known, err := readMetadata(text, testIssuer, tls)
		urls := []string{known.authorization, known.token, known.revocation, known.device, known.pushed}
		if err != nil {
			if known != (endpoints{}) {
				t.Errorf("with an error: %+v", known)
			}
			return
		}
		if ms, _ := readJSON(text); !bytes.Contains(ms["issuer"], []byte("auth.example.com")) || known.token == "" {
			t.Errorf("taken: %s", text)
		}
		for _, u := range urls {
			if u != "" && (!strings.HasPrefix(strings.ToLower(u), "https://") || strings.ContainsAny(u, "#@\n ") && urlFault(u) != "") {
				t.Errorf("used: %q", u)
			}
		}
	})
}
