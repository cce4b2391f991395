package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"testing"

	"github.com/freshet-go/freshet/transport"
)

// What a request costs with a bearer token, with a proof, and what of that is the one
// signature.
func BenchmarkDPoP(b *testing.B) {
	req, _ := http.NewRequest("GET", "https://api.example.com/v1/me", nil)
	b.Run("signature", func(b *testing.B) {
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		sum := sha256.Sum256([]byte("text"))
		each(b, func() error { _, err := ecdsa.SignASN1(rand.Reader, key, sum[:]); return err })
	})
	b.Run("proof", func(b *testing.B) {
		key, err := new(DPoP).newKey()
		if err != nil {
			b.Fatal(err)
		}
		each(b, func() error { _, err := key.prove(req, "token", peer{nonce: "nonce"}); return err })
	})
	for name, d := range map[string]*DPoP{"request with a proof": {}, "request with a bearer token": nil} {
		b.Run(name, func(b *testing.B) {
			rt := steady(b, d)
			each(b, func() error { _, err := rt.RoundTrip(req); return err })
		})
	}
}

// each calls f from as many goroutines as there are processors: proofs must not wait for
// each other.
func each(b *testing.B, f func() error) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// steady returns the RoundTripper of a session that has a token, over one that answers at
// once.
func steady(b *testing.B, d *DPoP) http.RoundTripper {
	answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
	base := roundTrip(func(*http.Request) (*http.Response, error) { again := *answer; return &again, nil })
	tokenType := "Bearer"
	if d != nil {
		tokenType = "DPoP"
	}
	asked := site{"https://auth.example.com/token": `{"access_token":"at","token_type":"` + tokenType + `","expires_in":3600}`}
	cfg := Config{ClientID: "app", ClientSecret: "secret", Grant: ClientCredentials{}, DPoP: d, Base: base, TokenClient: &http.Client{Transport: asked}}
	cfg.Endpoint.TokenURL = "https://auth.example.com/token"
	c, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(b.Context()) })
	s := c.Session("")
	var tok transport.Token
	if tok, err = s.Token(b.Context()); err != nil || tok.Type() != tokenType {
		b.Fatal(tok, err)
	}
	return s.Transport()
}
