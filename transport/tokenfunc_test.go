package transport_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/transport"
)

var errOdd = errors.New("the answer is odd")

// A tokenFunc is a token func that gives its answers one after the other.
type tokenFunc struct {
	answers []*oauth2.Token
	errs    map[int]error // of the n-th answer, from 0
	sent    []string      // the refresh tokens it was given
}

func (f *tokenFunc) token(_ context.Context, old *oauth2.Token) (*oauth2.Token, error) {
	sent := ""
	if old != nil {
		sent = old.RefreshToken
	}
	n := len(f.sent)
	f.sent = append(f.sent, sent)
	return f.answers[n], f.errs[n]
}

// What is wrong with an answer must not cost the refresh token in it: the last
// one may be spent.
func TestFromTokenFunc_keeps_a_new_refresh_token(t *testing.T) {
	for _, c := range []struct {
		name, access string
		err, want    error // want: nil is any
	}{
		{"same access token", "at1", nil, nil},
		{"no access token", "", nil, nil},
		{"error", "at2", errOdd, errOdd},
		{"error and no access token", "", errOdd, errOdd},
		{"bad access token", "a\r\nb", nil, nil},
	} {
		bubble(t, c.name, func(t *testing.T) {
			expiry := time.Now().Add(time.Hour)
			f := &tokenFunc{errs: map[int]error{1: c.err}, answers: []*oauth2.Token{
				{AccessToken: "at1", RefreshToken: "rt1", Expiry: expiry},
				{AccessToken: c.access, RefreshToken: "rt2", Expiry: expiry},
				{AccessToken: "at3", RefreshToken: "rt3", Expiry: expiry},
			}}
			shelf := newShelf()
			src := newSource(t, transport.SourceConfig{Refresh: transport.FromTokenFunc(f.token), Store: shelf, Key: shelfKey})
			tok, err := src.Refresh(t.Context(), mustToken(t, src))
			if re := wantKind(t, tok, err, transport.Transient); c.want != nil && !errors.Is(re, c.want) {
				t.Errorf("error %v, want %v", re, c.want)
			}
			shelf.wantStored(t, "rt2")
			wantError(t, src, transport.Transient) // what is no good is not handed out now
			time.Sleep(time.Second)
			wantToken(t, src, "at3")
			if want := []string{"", "rt1", "rt2"}; !slices.Equal(f.sent, want) {
				t.Errorf("sent %q, want %q", f.sent, want)
			}
			shelf.wantStored(t, "rt3")
		})
	}
}

// Where the last token still serves, a bad answer changes nothing for callers.
func TestFromTokenFunc_error_leaves_the_token(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		first := &oauth2.Token{AccessToken: "at1", RefreshToken: "rt1", Expiry: time.Now().Add(time.Hour)}
		odd := &oauth2.Token{AccessToken: "at2", RefreshToken: "rt2", Expiry: time.Now().Add(2 * time.Hour)}
		f := &tokenFunc{answers: []*oauth2.Token{first, odd}, errs: map[int]error{1: errOdd}}
		shelf := newShelf()
		src := newSource(t, transport.SourceConfig{Refresh: transport.FromTokenFunc(f.token), Store: shelf, Key: shelfKey})
		mustToken(t, src)
		time.Sleep(59 * time.Minute)
		wantToken(t, src, "at1") // refreshed behind the caller
		time.Sleep(100 * time.Millisecond)
		wantToken(t, src, "at1")
		shelf.wantStored(t, "rt2")
	})
}
