package main

import (
	"context"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func overFreshet(base http.RoundTripper, tokens *issuer, set settings) http.RoundTripper {
	refresh := func(ctx context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
		text, expiry, err := tokens.token(ctx)
		if err != nil {
			return tokenstore.Record{}, err
		}
		return transport.WithOAuth2(old, target, &oauth2.Token{AccessToken: text, Expiry: expiry})
	}
	source, err := transport.NewSource(transport.SourceConfig{Refresh: refresh, RefreshBefore: set.early})
	if err != nil {
		panic(err)
	}
	rt, err := transport.New(transport.Config{Source: source, Base: base})
	if err != nil {
		panic(err)
	}
	return rt
}
