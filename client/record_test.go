package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func TestMembersAreKeptThroughRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		for _, c := range []struct {
			members map[string]string
			idToken string
			extra   map[string]string
		}{
			{map[string]string{"id_token": `"one"`, "team": `{"id":7}`, "org": `"a"`}, "one", map[string]string{"team": `{"id":7}`, "org": `"a"`}},
			{map[string]string{"org": `"b"`, "new": `[1]`}, "one", map[string]string{"team": `{"id":7}`, "org": `"b"`, "new": `[1]`}},
			{map[string]string{"id_token": `"two"`, "org": `null`}, "two", map[string]string{"team": `{"id":7}`, "new": `[1]`}},
			{map[string]string{"id_token": `"a\r\nb"`}, "two", map[string]string{"team": `{"id":7}`, "new": `[1]`}},
		} {
			f.members(c.members)
			tok, err := f.session.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tok.IDToken() != c.idToken {
				t.Errorf("%v: id_token %q, want %q", c.members, tok.IDToken(), c.idToken)
			}
			got := f.record(t).Extra
			if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(c.extra))) {
				t.Errorf("%v: kept %v", c.members, slices.Sorted(maps.Keys(got)))
			}
			for name, want := range c.extra {
				if got[name].Reveal() != want || tok.Extra(name) != want {
					t.Errorf("%v: %s is %q, want %q", c.members, name, got[name].Reveal(), want)
				}
			}
			time.Sleep(2 * time.Hour)
		}
	})
}

func TestExtraIsBounded(t *testing.T) {
	ms := make(members)
	for i := range 100 {
		ms[fmt.Sprintf("m%02d", i)] = []byte(strings.Repeat("1", 100*(i+1)))
	}
	extra := mergeExtra(map[string]tokenstore.Secret{"old": tokenstore.NewSecret("1")}, ms)
	sum := 0
	for name, value := range extra {
		sum += len(name) + len(value.Reveal())
	}
	if sum > maxExtra || extra["old"].IsZero() || extra["m00"].IsZero() || !extra["m99"].IsZero() {
		t.Errorf("%d members with %d bytes", len(extra), sum)
	}
}

func TestRefreshTokensMayHaveALife(t *testing.T) {
	for _, c := range []struct {
		members map[string]string
		want    time.Duration // zero is unknown
	}{
		{nil, 0},
		{map[string]string{"refresh_token_expires_in": `86400`}, 24 * time.Hour},
		{map[string]string{"refresh_expires_in": `"86400"`}, 24 * time.Hour},
		{map[string]string{"refresh_expires_in": `0`}, 0},
		{map[string]string{"refresh_expires_in": `"soon"`}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.members(c.members)
			if _, err := f.session.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			var want time.Time
			if c.want != 0 {
				want = time.Now().Add(c.want)
			}
			if got := f.record(t).RefreshExpiry; !got.Equal(want) {
				t.Errorf("%v: expiry %v, want %v", c.members, got, want)
			}
		})
	}
}

func TestRecordsNameServerAndClient(t *testing.T) {
	f := newFixture(t)
	f.session.Token(t.Context())
	if rec := f.record(t); rec.Issuer != f.Issuer() || rec.ClientID != testID || rec.Account != "alice" {
		t.Errorf("%v of client %s", rec, rec.ClientID)
	}
	e := testEndpoint(f.Transport(), public)
	rec, re := refreshWith(t.Context(), t, e)
	if e.issuer != "https://auth.test/token" || re == nil || rec.Exists() {
		t.Errorf("without an Issuer the session is kept under %q (%v)", e.issuer, re)
	}
}

func TestRefreshParamsAndHeaders(t *testing.T) {
	f := newFixture(t, func(c *Config) {
		c.RefreshParams = map[string][]string{"redirect_uri": {"https://app/cb"}, "resource": {"a", "b"}}
		c.TokenHeader = map[string][]string{"X-Tenant": {"t"}, "User-Agent": {"app/1"}}
	})
	if _, err := f.session.Token(t.Context()); err != nil {
		t.Log(err) // a parameter twice is more than the test server takes
	}
	e := f.lastRequest(t)
	if e.Form.Get("redirect_uri") != "https://app/cb" || len(e.Form["resource"]) != 2 ||
		e.Header.Get("X-Tenant") != "t" || e.Header.Get("User-Agent") != "app/1" {
		t.Errorf("sent %v with %v", e.Form, e.Header)
	}
}

func TestNothingToRefreshWith(t *testing.T) {
	base := roundTrip(nil) // a request would panic
	_, err := testEndpoint(base, public).refresh(t.Context(), tokenstore.Record{}, "")
	if !errors.Is(err, ErrLoginRequired) {
		t.Errorf("error %v, want ErrLoginRequired", err)
	}
}

// A program that gets its tokens by its own credentials has nobody to log in.
func TestClientCredentialsNeverAskForALogin(t *testing.T) {
	for _, code := range []string{"invalid_grant", "invalid_request"} {
		f := newFixture(t, func(c *Config) { c.Grant = ClientCredentials{} })
		f.Inject(testserver.OnToken, testserver.Always, testserver.OAuthError(400, code, ""))
		if re := f.fail(t); re.Kind == transport.LoginRequired || re.Doubtful {
			t.Errorf("%s: %v", code, re)
		}
	}
}

func TestCancelledContextSendsNothing(t *testing.T) {
	srv := testserver.New()
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, re := refreshWith(ctx, t, testEndpoint(srv.Transport(), public))
	if re == nil || re.OutcomeUnknown || srv.Log().TokenRequests() != 0 {
		t.Errorf("error %v after %d requests", re, srv.Log().TokenRequests())
	}
}
