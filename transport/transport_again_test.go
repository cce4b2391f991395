package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// An API that takes each new token once, and no more, does not cost a refresh
// for each request.
func TestTransport_breaker_is_not_fooled_by_one_good_answer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, n := new(mint), 0
		tr := m.over(t, baseFunc(func(req *http.Request) (*http.Response, error) {
			n++
			return answerTo(req, []int{200, 401}[n%2], http.NoBody), nil
		}))
		for range 1000 {
			send(t, tr, request(t, "GET", "https://api.test/", nil))
			time.Sleep(10 * time.Millisecond)
		}
		if asked := m.asked.Load(); asked > 5 {
			t.Errorf("%d token requests for 1000 requests in 10 s", asked)
		}
	})
}

// An API where somebody revokes one token after the other, each of which it has
// taken for a while, is none that rejects every token.
func TestTransport_breaker_lets_revocations_pass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := new(mint).source(t)
		revoked := ""
		tr := newTransport(t, transport.Config{Source: source, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
			if req.Header.Get("Authorization") == revoked {
				return answerTo(req, 401, http.NoBody), nil
			}
			return answerTo(req, 200, http.NoBody), nil
		})})
		last := ""
		for range 20 {
			resp, err := tr.RoundTrip(request(t, "GET", "https://api.test/", nil))
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v, %v", resp, err)
			}
			time.Sleep(2 * time.Second)
			tok, err := source.Token(t.Context(), "")
			if err != nil || tok.Reveal() == last {
				t.Fatalf("%v, %v", tok, err)
			}
			last = tok.Reveal()
			revoked = "Bearer " + last
		}
	})
}

// A source that caches gives the same token again; that it lives until some
// fraction of a second makes no difference.
func TestFromTokenFunc_same_token_with_expiry(t *testing.T) {
	cached := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "a", Expiry: time.Now().Add(time.Hour)})
	refresh := transport.FromTokenFunc(func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return cached.Token() })
	tr := newTransport(t, transport.Config{
		Source: newSource(t, transport.SourceConfig{Refresh: refresh}),
		Base: baseFunc(func(req *http.Request) (*http.Response, error) {
			return answerTo(req, 401, http.NoBody), nil
		}),
	})
	resp, err := tr.RoundTrip(request(t, "GET", "https://api.test/", nil))
	if err != nil {
		t.Fatal(err)
	}
	if transport.RefreshErrorOf(resp) == nil {
		t.Error("nothing says that the same token came back")
	}
}

// The error of a caller whose context is over is that context's, whatever the
// cause of it.
func TestTransport_context_with_a_cause(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	_, err := new(mint).over(t, new(tokenAPI)).RoundTrip(request(t, "GET", "https://api.test/", nil).WithContext(ctx))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("%v, want context.Canceled and its cause", err)
	}
	ctx, cancelTimeout := context.WithTimeoutCause(t.Context(), 0, why)
	defer cancelTimeout()
	_, err = new(mint).over(t, new(tokenAPI)).RoundTrip(request(t, "GET", "https://api.test/", nil).WithContext(ctx))
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%v, want a timeout", err)
	}
}

// An error of a func in the x/oauth2 manner says by errors.Is that the session is
// over; nothing is asked again then.
func TestFromTokenFunc_login_required(t *testing.T) {
	calls := 0
	src := newSource(t, transport.SourceConfig{Refresh: transport.FromTokenFunc(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		calls++
		return nil, fmt.Errorf("app: user removed: %w", transport.ErrLoginRequired)
	})})
	for range 3 {
		_, err := src.Token(t.Context(), "")
		var re *transport.RefreshError
		if !errors.As(err, &re) || re.Kind != transport.LoginRequired || !errors.Is(err, transport.ErrLoginRequired) {
			t.Errorf("%v, want login required", err)
		}
	}
	if state := src.Status().State; calls != 1 || state != transport.StateLoginRequired {
		t.Errorf("%d calls, state %q", calls, state)
	}
	if _, err := transport.NewSource(transport.SourceConfig{Refresh: transport.FromTokenFunc(nil)}); err == nil {
		t.Error("NewSource took FromTokenFunc(nil)")
	}
}

// A panic in a callback is found by its line, and its value is not shown.
func TestPanicSite(t *testing.T) {
	src := newSource(t, transport.SourceConfig{Refresh: func(context.Context, tokenstore.Record, string) (tokenstore.Record, error) {
		panic("secret")
	}})
	_, err := src.Token(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "transport_again_test.go:") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v, want the line and not the value", err)
	}
}
