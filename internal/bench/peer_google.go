package main

import (
	"context"
	"net/http"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/httptransport"
)

func overGoogle(base http.RoundTripper, tokens *issuer, set settings) http.RoundTripper {
	cache := auth.NewCachedTokenProvider(googleProvider{tokens}, &auth.CachedTokenProviderOptions{ExpireEarly: set.early})
	creds := auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: cache})
	hc := &http.Client{Transport: base}
	if err := httptransport.AddAuthorizationMiddleware(hc, creds); err != nil {
		panic(err)
	}
	return hc.Transport
}

type googleProvider struct{ tokens *issuer }

func (p googleProvider) Token(ctx context.Context) (*auth.Token, error) {
	text, expiry, err := p.tokens.token(ctx)
	if err != nil {
		return nil, err
	}
	return &auth.Token{Value: text, Expiry: expiry}, nil
}
