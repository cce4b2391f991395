package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A refresh written by hand, for a token service of one's own.
func Example() {
	api := apiThatTakes("token-1")
	defer api.Close()

	source, err := transport.NewSource(transport.SourceConfig{
		Refresh: transport.FromTokenFunc(func(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error) {
			// Ask the token service here. If it gave a refresh token the last
			// time, that is in old.
			return &oauth2.Token{AccessToken: "token-1", Expiry: time.Now().Add(time.Hour)}, nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	t, err := transport.New(transport.Config{Source: source, Origins: []string{api.URL}})
	if err != nil {
		log.Fatal(err)
	}

	client := &http.Client{Transport: t, Timeout: 10 * time.Second}
	resp, err := client.Get(api.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body))
	// Output: 200 OK hello
}

// Any oauth2.TokenSource will do that asks for a new token each time.
func ExampleFromTokenFunc_tokenSource() {
	api := apiThatTakes("token-2")
	defer api.Close()
	var tokens oauth2.TokenSource = &numbered{}

	refresh := transport.FromTokenFunc(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		return tokens.Token()
	})
	resp := get(refresh, api.URL) // token-1 is rejected, token-2 is not
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// A source that caches, such as the TokenSource of a clientcredentials.Config,
// gives the rejected token once more. Use the Token method of the Config instead,
// which asks the server.
func ExampleFromTokenFunc_incorrect() {
	api := apiThatTakes("token-2")
	defer api.Close()
	cached := oauth2.ReuseTokenSource(nil, &numbered{})

	refresh := transport.FromTokenFunc(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		return cached.Token()
	})
	resp := get(refresh, api.URL)
	fmt.Println(resp.Status)
	fmt.Println(errors.Unwrap(transport.RefreshErrorOf(resp)))
	// Output:
	// 401 Unauthorized
	// the token func returned the same access token again: a source that caches can't renew a token early or after a 401; give the one below its cache
}

// A 401 whose token could not be renewed comes back as it is, and says why.
func ExampleRefreshErrorOf() {
	api := apiThatTakes("no token")
	defer api.Close()

	refresh := transport.FromTokenFunc(func(_ context.Context, old *oauth2.Token) (*oauth2.Token, error) {
		if old != nil { // the second time: say that the user was removed
			return nil, &transport.RefreshError{Kind: transport.LoginRequired, Err: errors.New("user removed")}
		}
		return &oauth2.Token{AccessToken: "token-1"}, nil
	})
	resp := get(refresh, api.URL)
	if err := transport.RefreshErrorOf(resp); errors.Is(err, transport.ErrLoginRequired) {
		fmt.Println("Please sign in again.")
	}
	fmt.Println(resp.Status)
	// Output:
	// Please sign in again.
	// 401 Unauthorized
}

// What to count, and what to wake somebody for.
func ExampleObserver() {
	api := apiThatTakes("token-2")
	defer api.Close()

	source, err := transport.NewSource(transport.SourceConfig{
		Refresh: refreshNumbered(),
		Observer: &transport.Observer{
			Rejected: func(e transport.Rejected) {
				fmt.Println("401:", e.Challenge)
			},
			RefreshEnded: func(e transport.RefreshEnded) {
				fmt.Printf("refresh: %s, %s\n", e.Reason, e.Outcome)
			},
			SaveFailed: func(e transport.SaveFailed) {
				log.Printf("a new token is not in the store yet: %v", e.Err)
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	getFrom(source, api.URL)
	// Output:
	// refresh: none, exchanged
	// 401: invalid_token
	// refresh: rejected, exchanged
}

// A worker that stops: it sends nothing more, and then waits until a refresh that
// is under way has been saved. A refresh token that the server has replaced and
// nobody has stored would mean a new login.
func ExampleSource_Close() {
	api := apiThatTakes("token-1")
	defer api.Close()

	source, err := transport.NewSource(transport.SourceConfig{
		Refresh: refreshNumbered(),
		Store:   new(tokenstore.Memory), // a tokenstore.Dir, in a real worker
		Key:     "worker",
	})
	if err != nil {
		log.Fatal(err)
	}

	// In a real worker: signal.NotifyContext.
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer stop()
	for ctx.Err() == nil {
		getFrom(source, api.URL)
	}

	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := source.Close(grace); err != nil {
		log.Fatal("the newest token is not in the store: ", err)
	}
	fmt.Println("stopped, and everything is saved")
	// Output: stopped, and everything is saved
}

// apiThatTakes starts an API that takes that token only.
func apiThatTakes(token string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			unauthorized(w)
			return
		}
		io.WriteString(w, "hello")
	}))
}

// A numbered is a TokenSource of token-1, token-2 and so on.
type numbered struct{ n int }

func (s *numbered) Token() (*oauth2.Token, error) {
	s.n++
	return &oauth2.Token{AccessToken: fmt.Sprint("token-", s.n), Expiry: time.Now().Add(time.Hour)}, nil
}

func refreshNumbered() transport.RefreshFunc {
	tokens := &numbered{}
	return transport.FromTokenFunc(func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return tokens.Token() })
}

// get gets url with the tokens that refresh brings.
func get(refresh transport.RefreshFunc, url string) *http.Response {
	source, err := transport.NewSource(transport.SourceConfig{Refresh: refresh})
	if err != nil {
		log.Fatal(err)
	}
	return getFrom(source, url)
}

func getFrom(source *transport.Source, url string) *http.Response {
	t, err := transport.New(transport.Config{Source: source})
	if err != nil {
		log.Fatal(err)
	}
	resp, err := (&http.Client{Transport: t}).Get(url)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	return resp
}
