package transport

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
)

// A quotingStore fails with what quote makes of the record.
type quotingStore struct {
	tokenstore.Memory
	quote func(record []byte) error
}

func (s *quotingStore) Load(context.Context, string) ([]byte, error) {
	return nil, s.quote(testRecord().mustEncode())
}

func (s *quotingStore) Update(ctx context.Context, _ string, next func(context.Context, []byte) ([]byte, error)) error {
	record, err := next(ctx, nil)
	return errors.Join(err, s.quote(record))
}

type encodable tokenstore.Record

func (r encodable) mustEncode() []byte {
	b, err := tokenstore.Record(r).Encode()
	if err != nil {
		panic(err)
	}
	return b
}

func testRecord() encodable {
	return encodable{Session: tokenstore.NewSessionID(""), RefreshToken: tokenstore.NewSecret("refresh-canary"),
		Access: []tokenstore.AccessToken{{Token: tokenstore.NewSecret("access-canary")}}}
}

func TestDiscreet(t *testing.T) {
	own := errors.New("connection refused")
	quotes := map[string]func(record []byte) error{
		"plain":     func(b []byte) error { return fmt.Errorf("%w: INSERT %s", own, b) },
		"quoted":    func(b []byte) error { return fmt.Errorf("%w: INSERT %q", own, b) },
		"hex":       func(b []byte) error { return fmt.Errorf("%w: INSERT %X", own, b) },
		"decimal":   func(b []byte) error { return fmt.Errorf("%w: INSERT %v", own, b) },
		"base64":    func(b []byte) error { return fmt.Errorf("%w: %s", own, base64.StdEncoding.EncodeToString(b)) },
		"query":     func(b []byte) error { return fmt.Errorf("%w: PUT /kv?value=%s", own, url.QueryEscape(string(b))) },
		"path":      func(b []byte) error { return fmt.Errorf("%w: PUT /kv/%s", own, url.PathEscape(string(b))) },
		"one token": func([]byte) error { return fmt.Errorf("%w: Access-Canary", own) },
	}
	next := func(context.Context, []byte) ([]byte, error) { return testRecord().mustEncode(), nil }
	for name, quote := range quotes {
		t.Run(name, func(t *testing.T) {
			err := discreet{&quotingStore{quote: quote}}.Update(t.Context(), "k", next)
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				if text := fmt.Sprintf(verb, struct{ err error }{err}); strings.Contains(text, "anary") {
					t.Errorf("%s: %s", verb, text)
				}
			}
			if !strings.Contains(err.Error(), "not shown") {
				t.Errorf("%v", err)
			}
			if !errors.Is(err, own) || errors.Unwrap(err) != nil {
				t.Errorf("%v is not the store's error, or unwraps it", err)
			}
		})
	}
	t.Run("Load", func(t *testing.T) {
		for _, name := range []string{"plain", "quoted", "query", "path"} {
			_, err := discreet{&quotingStore{quote: quotes[name]}}.Load(t.Context(), "k")
			if !errors.Is(err, own) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("an error without a secret", func(t *testing.T) {
		want := fmt.Errorf("%w: disk full", own)
		if err := (discreet{&quotingStore{quote: func([]byte) error { return want }}}).Update(t.Context(), "k", next); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("%v", err)
		}
	})
}
