package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func TestRefreshError_says_what_it_knows(t *testing.T) {
	for want, err := range map[string]*transport.RefreshError{
		"transport: transient":                                                {},
		"transport: login required":                                           {Kind: transport.LoginRequired, Err: transport.ErrLoginRequired},
		"transport: misconfigured: 503 Service Unavailable":                   {Kind: transport.Misconfigured, Err: errDown},
		"transport: store failed: 503 Service Unavailable (next try in 1.5s)": {Kind: transport.StoreFailed, Err: errDown, RetryAfter: 1500*time.Millisecond + 1},
		"transport: cancelled":                                                {Kind: transport.Cancelled},
		"transport: Kind(5)":                                                  {Kind: transport.Cancelled + 1},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, test := range []struct {
		kind transport.Kind
		err  error
		want bool
	}{
		{transport.Cancelled, context.DeadlineExceeded, true}, {transport.Cancelled, context.Canceled, false}, {transport.Transient, context.DeadlineExceeded, false},
	} {
		if got := (&transport.RefreshError{Kind: test.kind, Err: test.err}).Timeout(); got != test.want {
			t.Errorf("Timeout of %s, %v is %t", test.kind, test.err, got)
		}
	}
}

// A caller is told why its context ended, where that is known, and once.
func TestRefreshError_has_the_cause(t *testing.T) {
	src := newSource(t, transport.SourceConfig{Refresh: new(server).refresh})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errDown)
	if _, err := src.Token(ctx, ""); !errors.Is(err, errDown) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's and its cause", err)
	}
	plain, stop := context.WithCancel(t.Context())
	stop()
	if _, err := src.Token(plain, ""); err == nil || err.Error() != "transport: cancelled: context canceled" {
		t.Errorf("error %v", err)
	}
	for _, resp := range []*http.Response{nil, {}, {Request: new(http.Request)}} {
		if err := transport.RefreshErrorOf(resp); err != nil {
			t.Errorf("RefreshErrorOf = %v, want nil", err)
		}
	}
}

func TestWithOAuth2(t *testing.T) {
	if _, err := transport.WithOAuth2(tokenstore.Record{}, "", nil); err == nil {
		t.Error("a nil token was taken")
	}
	expiry := time.Now().Add(time.Hour)
	var rec tokenstore.Record
	rec.SetToken(tokenstore.AccessToken{Target: "api", Token: tokenstore.NewSecret("old")})
	rec.RefreshToken = tokenstore.NewSecret("old-rt")
	tok := (&oauth2.Token{AccessToken: "at", TokenType: "MAC", RefreshToken: "rt", Expiry: expiry}).WithExtra(map[string]any{"id_token": "h.p.s", "scope": "read"})
	start := time.Now().Round(0)
	made, err := transport.WithOAuth2(rec, "api", tok)
	if err != nil {
		t.Fatal(err)
	}
	at, ok := made.Token("api")
	if !ok || at.Token.Reveal() != "at" || at.Type != "MAC" || at.Scope != "read" || !at.Expiry.Equal(expiry) || at.Issued.Before(start) || at.Issued.After(time.Now()) {
		t.Errorf("access token %+v", at)
	}
	if made.RefreshToken.Reveal() != "rt" || made.IDToken.Reveal() != "h.p.s" {
		t.Errorf("record %v with id_token %q", made, made.IDToken.Reveal())
	}
	if old, _ := rec.Token("api"); old.Token.Reveal() != "old" {
		t.Error("the record that was given changed")
	}
	made, err = transport.WithOAuth2(made, "api", new(oauth2.Token)) // which has nothing
	if again, _ := made.Token("api"); err != nil || again.Token.Reveal() != "at" || made.RefreshToken.Reveal() != "rt" || made.IDToken.Reveal() != "h.p.s" {
		t.Errorf("an empty token made %v, %v", made, err)
	}
	for _, bad := range []*oauth2.Token{{AccessToken: "a b"}, {RefreshToken: "a b"}} {
		if _, err := transport.WithOAuth2(rec, "api", bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

// The func gets the last token, or none at first, and may prolong it.
func TestFromTokenFunc_gets_the_last_token(t *testing.T) {
	var got []string
	expiry := time.Now().Add(time.Hour)
	refresh := transport.FromTokenFunc(func(_ context.Context, old *oauth2.Token) (*oauth2.Token, error) {
		if old == nil {
			got = append(got, "none")
		} else {
			got = append(got, fmt.Sprint(old.AccessToken, " ", old.TokenType, " ", old.RefreshToken))
		}
		expiry = expiry.Add(time.Hour)
		return &oauth2.Token{AccessToken: "at", TokenType: "Bearer", Expiry: expiry}, nil
	})
	rec, err := refresh(t.Context(), tokenstore.Record{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if rec, err = refresh(t.Context(), rec, ""); err != nil {
		t.Errorf("a token that is prolonged: %v", err)
	}
	none := transport.FromTokenFunc(func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return nil, nil })
	if _, err := none(t.Context(), rec, ""); err == nil {
		t.Error("no token and no error is no error")
	}
	_, err = refresh(t.Context(), tokenstore.Record{RefreshToken: tokenstore.NewSecret("rt")}, "")
	if want := `["none" "at Bearer " "  rt"]`; err != nil || fmt.Sprintf("%q", got) != want {
		t.Errorf("it got %q, %v; want %s", got, err, want)
	}
}

func TestSourceConfig(t *testing.T) {
	_, err := transport.NewSource(transport.SourceConfig{Store: new(tokenstore.Memory), Key: "a b", RefreshBefore: -1, RefreshTimeout: -1})
	const want = `transport: SourceConfig: Refresh is nil: give the func that asks the server for a token
Key: tokenstore: bad key: byte 0x20 at 1 is not printable ASCII
RefreshBefore is negative (-1ns): leave it zero for 5m0s
RefreshTimeout is negative (-1ns): leave it zero for 15s`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	bubble(t, "RefreshTimeout", func(t *testing.T) {
		srv := &server{delay: time.Hour}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, RefreshTimeout: time.Second})
		wantTook(t, time.Second, func() { wantError(t, src, transport.Transient) })
	})
}
