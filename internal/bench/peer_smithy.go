package main

import (
	"context"
	"net/http"

	"github.com/aws/smithy-go/auth/bearer"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// overSmithy is what its middleware does, without the rest of a client of AWS.
func overSmithy(base http.RoundTripper, tokens *issuer, set settings) http.RoundTripper {
	provider := bearer.TokenProviderFunc(func(ctx context.Context) (bearer.Token, error) {
		text, expiry, err := tokens.token(ctx)
		return bearer.Token{Value: text, CanExpire: true, Expires: expiry}, err
	})
	cache := bearer.NewTokenCache(provider, func(o *bearer.TokenCacheOptions) {
		o.RefreshBeforeExpires, o.AsyncRefreshMinimumDelay = set.early, set.pause
	})
	return smithyTransport{base, cache, bearer.NewSignHTTPSMessage()}
}

type smithyTransport struct {
	base   http.RoundTripper
	tokens bearer.TokenProvider
	signer bearer.Signer
}

func (t smithyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := t.tokens.RetrieveBearerToken(req.Context())
	if err != nil {
		return nil, err
	}
	signed, err := t.signer.SignWithBearerToken(req.Context(), token, &smithyhttp.Request{Request: req})
	if err != nil {
		return nil, err
	}
	// A signed request is a copy without a context; the client of AWS gives it that, too.
	return t.base.RoundTrip(signed.(*smithyhttp.Request).WithContext(req.Context()))
}
