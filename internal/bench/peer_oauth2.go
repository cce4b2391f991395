package main

import (
	"context"
	"net/http"

	"golang.org/x/oauth2"
)

func overOAuth2(base http.RoundTripper, tokens *issuer) http.RoundTripper {
	return &oauth2.Transport{Base: base, Source: oauth2.ReuseTokenSource(nil, oauth2Source{tokens})}
}

type oauth2Source struct{ tokens *issuer }

func (s oauth2Source) Token() (*oauth2.Token, error) {
	text, expiry, err := s.tokens.token(context.Background()) // it passes no context on
	return &oauth2.Token{AccessToken: text, Expiry: expiry}, err
}
