package transport_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A broadAPI takes any token.
type broadAPI struct{ tokenAPI }

func newBroadAPI() *broadAPI { return new(broadAPI) }

func (a *broadAPI) ServeHTTP(_ http.ResponseWriter, r *http.Request) { a.note(r) }

func (a *broadAPI) RoundTrip(req *http.Request) (*http.Response, error) {
	a.note(req)
	return answerTo(req, 200, http.NoBody), nil
}

// large returns a token of n bytes in which every cut shows.
func large(n int, end string) string {
	return strings.Repeat("0123456789abcdef", n/16)[:n-len(end)] + end
}

func TestRule051_large_tokens_pass_whole(t *testing.T) {
	for name, newStore := range map[string]func(t *testing.T) tokenstore.Store{
		"Memory": func(*testing.T) tokenstore.Store { return new(tokenstore.Memory) },
		"Dir":    func(t *testing.T) tokenstore.Store { return tokenstore.Dir(t.TempDir()) },
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, newBroadAPI, func(t *testing.T, a *broadAPI, srv *httptest.Server) {
				access, refresh, store := large(64<<10, "-access"), large(64<<10, "-refresh"), newStore(t)
				cfg := transport.SourceConfig{Store: store, Key: "large"}
				cfg.Refresh = func(_ context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
					a.asked.Add(1)
					old.Extra = map[string]tokenstore.Secret{"unheard_of": tokenstore.NewSecret(`{"of":[1]}`)}
					return transport.WithOAuth2(old, target, &oauth2.Token{AccessToken: access, RefreshToken: refresh})
				}
				for range 2 { // the first Source brings the tokens, the second reads them
					tr := newTransport(t, transport.Config{Base: srv.Client().Transport, Source: newSource(t, cfg)})
					send(t, tr, request(t, "GET", srv.URL, nil))
				}
				a.wantSeen(t, access, access)
				a.wantAsked(t, 1)
				wantStored(t, store, access, refresh)
			})
		})
	}
	t.Run("too large for a store", func(t *testing.T) {
		a, token := new(broadAPI), large(2<<20, "-access")
		cfg := transport.SourceConfig{Refresh: func(_ context.Context, old tokenstore.Record, target string) (tokenstore.Record, error) {
			return transport.WithOAuth2(old, target, &oauth2.Token{AccessToken: token})
		}}
		failed := make(chan error, 100)
		cfg.Observer = &transport.Observer{SaveFailed: func(e transport.SaveFailed) { failed <- e.Err }}
		source := newSource(t, cfg)
		resp, err := newTransport(t, transport.Config{Base: a, Source: source}).RoundTrip(request(t, "GET", "https://api.test/", nil))
		if err == nil {
			readAll(t, resp)
			a.wantSeen(t, token)
			if err := <-failed; err == nil {
				t.Error("nobody was told that the token is not saved")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		source.Close(ctx)
	})
}

func wantStored(t *testing.T, store tokenstore.Store, access, refresh string) {
	t.Helper()
	b, err := store.Load(t.Context(), "large")
	if err != nil {
		t.Fatal(err)
	}
	rec, err := tokenstore.DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if token, _ := rec.Token(""); token.Token.Reveal() != access || rec.RefreshToken.Reveal() != refresh {
		t.Error("the store has not kept the tokens whole")
	}
	if got := rec.Extra["unheard_of"].Reveal(); got != `{"of":[1]}` {
		t.Errorf("the member that nobody knows is %q in the store", got)
	}
}
