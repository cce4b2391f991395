package main

import (
	"context"
	"net/http"

	"golang.org/x/oauth2"
)

// overOAuth2 has ReuseTokenSource if set.early is zero.
func overOAuth2(base http.RoundTripper, tokens *issuer, set settings) http.RoundTripper {
	source := oauth2.ReuseTokenSourceWithExpiry(nil, oauth2Source{tokens}, set.early)
	return &oauth2.Transport{Base: base, Source: source}
}

type oauth2Source struct{ tokens *issuer }

func (s oauth2Source) Token() (*oauth2.Token, error) {
	text, expiry, err := s.tokens.token(context.Background()) // it passes no context on
	return &oauth2.Token{AccessToken: text, Expiry: expiry}, err
}
