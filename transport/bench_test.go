package transport_test

import (
	"context"
	"maps"
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A floor does the least that the contract of RoundTripper forces on everybody
// who adds a header: it copies the request and the header map.
type floor struct {
	base   http.RoundTripper
	header []string
}

func (f floor) RoundTrip(req *http.Request) (*http.Response, error) {
	out := *req
	out.Header = maps.Clone(req.Header)
	out.Header["Authorization"] = f.header
	return f.base.RoundTrip(&out)
}

// constant is a RefreshFunc that always brings the same token.
func constant(token string) transport.RefreshFunc {
	return func(_ context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
		return transport.WithOAuth2(old, target, &oauth2.Token{AccessToken: token, Expiry: time.Now().Add(time.Hour)})
	}
}

// BenchmarkRoundTrip is a request with six headers and a fresh token over a Base
// that does nothing.
func BenchmarkRoundTrip(b *testing.B) {
	token := &oauth2.Token{AccessToken: large(64, "-token"), Expiry: time.Now().Add(time.Hour)}
	for _, c := range []struct {
		name string
		rt   http.RoundTripper
	}{
		{"base", quiet},
		{"floor", floor{quiet, []string{"Bearer " + token.AccessToken}}},
		{"freshet", withLargeToken(b, 64, nil)},
		{"freshet with Origins", withLargeToken(b, 64, []string{"https://api.test"})},
		{"oauth2", &oauth2.Transport{Base: quiet, Source: oauth2.ReuseTokenSource(token, nil)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.Run("serial", func(b *testing.B) {
				b.ReportAllocs()
				req := benchRequest(b)
				for b.Loop() {
					c.rt.RoundTrip(req)
				}
			})
			b.Run("parallel", func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					req := benchRequest(b)
					for pb.Next() {
						c.rt.RoundTrip(req)
					}
				})
			})
		})
	}
}

func benchRequest(b *testing.B) *http.Request {
	req := request(b, "GET", "https://api.test/path?query", nil)
	req.Header = manyHeaders(6)
	return req
}
