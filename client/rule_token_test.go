package client

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

func TestRule045_token_types_are_case_insensitive_and_unknown_ones_are_not_sent(t *testing.T) {
	for _, c := range []struct {
		member string
		ok     bool
	}{
		{`"Bearer"`, true},
		{`"bearer"`, true},
		{`"bEaReR"`, true},
		{`"BEARER"`, true},
		{`""`, true},
		{`null`, true},
		{testserver.Omit, true},
		{`"mac"`, false},
		{`"N_A"`, false},
		{`"DPOP"`, false}, // the client has no key
		{`"Basic"`, false},
		{`"Bearer "`, false},
		{`"Bearer\r\nX: y"`, false},
		{`"urn:ietf:params:oauth:token-type:jwt"`, false},
		{`7`, false},
		{`["Bearer"]`, false},
	} {
		t.Run(c.member, func(t *testing.T) {
			ended := make(chan error, 1)
			f := newFixture(t, func(cfg *Config) {
				cfg.Observer = &transport.Observer{RefreshEnded: func(e transport.RefreshEnded) { ended <- e.Err }}
			})
			f.members(map[string]string{"token_type": c.member})
			resp, err := f.session.HTTPClient().Get(f.APIURL("/"))
			refreshErr := <-ended
			api := f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.API })
			if c.ok {
				if err != nil || refreshErr != nil || resp.StatusCode != 200 || len(api) != 1 {
					t.Fatalf("error %v, refresh %v, %d API requests", err, refreshErr, len(api))
				}
				resp.Body.Close()
				if got := api[0].Header.Get("Authorization"); !strings.HasPrefix(got, "Bearer ") {
					t.Errorf("sent %q", got)
				}
				return
			}
			var re *transport.RefreshError
			if !errors.As(err, &re) || re.Kind != transport.Misconfigured || len(api) != 0 {
				t.Errorf("error %v, %d API requests, want a misconfiguration and none", err, len(api))
			}
			if f.record(t).RefreshToken.Reveal() != f.lastRequest(t).NewRefreshToken {
				t.Error("the new refresh token was not kept")
			}
		})
	}
}

func TestRule047_lifetimes_count_from_the_start_of_the_request_by_the_local_clock(t *testing.T) {
	for _, skew := range []time.Duration{0, 24 * time.Hour, -24 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.SetPolicy(testserver.Policy{
					ClockSkew: skew, ExpiresAt: true, AccessJWT: true, // the JWT's exp is long past, or far off
					AccessLifetime: time.Hour, TokenLatency: 3 * time.Second,
				})
				start := time.Now()
				tok, err := f.session.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if want := start.Add(time.Hour); !tok.Expiry().Equal(want) {
					t.Errorf("expiry %v after the start, want an hour", tok.Expiry().Sub(start))
				}
				time.Sleep(30 * time.Minute)
				resp, err := f.session.HTTPClient().Get(f.APIURL("/"))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK || f.Log().TokenRequests() != 1 {
					t.Errorf("status %d after %d token requests, want 200 after 1", resp.StatusCode, f.Log().TokenRequests())
				}
			})
		})
	}
}

func TestBearerTypes_are_sent_as_bearer_tokens(t *testing.T) {
	slack := func(cfg *Config) { cfg.Quirks.BearerTypes = []string{"bot", "user"} }
	for name, ok := range map[string]bool{"bot": true, "User": true, "mac": false, "": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, slack)
			f.members(map[string]string{"token_type": strconv.Quote(name)})
			tok, err := f.session.Token(t.Context())
			if (err == nil) != ok || ok && tok.Type() != "Bearer" {
				t.Errorf("refreshed: %v, error %v", tok, err)
			}
			imported := f.client.Session("imported")
			old := &oauth2.Token{AccessToken: "at", TokenType: name, Expiry: time.Now().Add(time.Hour)}
			if err := imported.Import(t.Context(), old); err != nil {
				t.Fatal(err)
			}
			if tok, err := imported.Token(t.Context()); (err == nil) != ok || ok && tok.Type() != "Bearer" {
				t.Errorf("imported: %v, error %v", tok, err)
			}
		})
	}
}
