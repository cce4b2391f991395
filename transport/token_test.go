package transport_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A Token tells all that is known of it, but for the zero Token.
func TestToken(t *testing.T) {
	expiry := time.Now().Add(time.Hour).Truncate(time.Second)
	src := newSource(t, transport.SourceConfig{Refresh: func(_ context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
		old.Account, old.Scope, old.IDToken = "ann", "read write", tokenstore.NewSecret("h.p.s")
		old.Extra = map[string]tokenstore.Secret{"note": tokenstore.NewSecret(`"x"`)}
		at := tokenstore.AccessToken{Target: target, Token: tokenstore.NewSecret("secret-" + target), Type: "bEARER", Expiry: expiry}
		if target != "" {
			at.Scope = "read"
		}
		old.SetToken(at)
		return old, nil
	}})
	for target, scope := range map[string]string{"": "read write", "api": "read"} {
		tok, err := src.Token(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%q", []string{tok.Reveal(), tok.Type(), tok.Target(), tok.Scope(), tok.Account(), tok.IDToken(), tok.Extra("note"), tok.Extra("none")})
		if want := fmt.Sprintf("%q", []string{"secret-" + target, "Bearer", target, scope, "ann", "h.p.s", `"x"`, ""}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if tok.IsZero() || !tok.Expiry().Equal(expiry) {
			t.Errorf("zero %t, expiry %s", tok.IsZero(), tok.Expiry())
		}
		x := tok.OAuth2()
		if x.AccessToken != "secret-"+target || x.TokenType != "Bearer" || !x.Expiry.Equal(expiry) || x.RefreshToken != "" ||
			x.Extra("scope") != scope || x.Extra("id_token") != "h.p.s" {
			t.Errorf("OAuth2 is %+v with scope %v", x, x.Extra("scope"))
		}
		want := fmt.Sprintf("token(Bearer %s, expiry %s)", tokenstore.NewSecret("secret-"+target).Fingerprint(), tok.Expiry().Format(time.RFC3339))
		for _, got := range []string{fmt.Sprint(tok), fmt.Sprintf("%+v", tok), fmt.Sprintf("%x", tok), tok.LogValue().String()} {
			if got != want {
				t.Errorf("printed as %s, want %s", got, want)
			}
		}
	}
	var zero transport.Token
	if !zero.IsZero() || zero.Reveal()+zero.Type()+zero.Target()+zero.Scope()+zero.Account()+zero.IDToken()+zero.Extra("note") != "" ||
		!zero.Expiry().IsZero() || zero.OAuth2() != nil || fmt.Sprint(zero) != "token(none)" {
		t.Errorf("the zero Token is %v", zero)
	}
}

// A token that no id_token came with has none in the x/oauth2 type either, and a
// type that can't be sent is told as the server wrote it.
func TestToken_without_extras(t *testing.T) {
	shelf := newShelf()
	rec := tokenstore.Record{Session: tokenstore.NewSessionID(""), Generation: 1}
	rec.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret("at"), Generation: 1})
	shelf.put(t, rec)
	tok := mustToken(t, newSource(t, shelf.config(new(server), nil)))
	if id := tok.OAuth2().Extra("id_token"); id != nil {
		t.Errorf("id_token is %v, want none", id)
	}
	if tok.Type() != "Bearer" {
		t.Errorf("type %q, want Bearer", tok.Type())
	}
}
