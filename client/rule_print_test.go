package client_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

const canary = "canary-7f3a"

// holders returns a value of every exported type that has a secret in it, or
// could have, after the program has used it.
func holders(t *testing.T) map[string]any {
	store := new(tokenstore.Memory)
	var refused error
	srv, c := newServer(t, func(cfg *client.Config) {
		cfg.Store = store
		cfg.TokenHeader = http.Header{"X-Key": {canary}}
		cfg.RefreshParams = url.Values{"password": {canary}}
	})
	srv.SetPolicy(clienttest.Policy{Members: map[string]string{
		"access_token": `"` + canary + `"`, "id_token": `"` + canary + `"`, "device_secret": `"` + canary + `"`,
	}})
	alice := c.Session("alice")
	if err := alice.Import(ctx, &oauth2.Token{RefreshToken: srv.NewToken("alice").RefreshToken}); err != nil {
		t.Fatal(err)
	}
	tok, err := alice.Token(ctx)
	if err != nil || tok.Reveal() != canary {
		t.Fatalf("%v, %v", tok, err)
	}
	bob := c.Session("bob")
	bob.Import(ctx, &oauth2.Token{RefreshToken: canary})
	_, refused = bob.Token(ctx) // the server does not know it
	var server *client.ServerError
	var refresh *transport.RefreshError
	if !errors.As(refused, &server) || !errors.As(refused, &refresh) {
		t.Fatalf("no error of the server: %v", refused)
	}
	rec := tokenstore.Record{Session: tokenstore.NewSessionID(""), RefreshToken: tokenstore.NewSecret(canary),
		Extra: map[string]tokenstore.Secret{"device_secret": tokenstore.NewSecret(`"` + canary + `"`)}}
	rec.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret(canary)})
	cfg := srv.Config()
	cfg.ClientSecret = canary
	source, err := transport.NewSource(transport.SourceConfig{Refresh: transport.FromTokenFunc(func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return nil, nil })})
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Set(ctx, rec); err != nil {
		t.Fatal(err)
	}
	tr, err := transport.New(transport.Config{Source: source})
	if err != nil {
		t.Fatal(err)
	}
	held, _ := source.Token(ctx, "")
	sealKey, err := tokenstore.NewSealKey("id", []byte(strings.Repeat(canary, 3)[:32]))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := tokenstore.NewSealed(store, sealKey)
	if err != nil {
		t.Fatal(err)
	}
	login := new(client.Login)
	if err := login.UnmarshalText([]byte(base64.RawURLEncoding.EncodeToString([]byte(`{"state":"` + canary + `","verifier":"` + canary + `"}`)))); err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"client.Login": login, "client.SubjectToken": client.SubjectToken{Token: rec.RefreshToken},
		"client.PrivateKeyJWT": client.PrivateKeyJWT{Key: canaryKey{canary}, KeyID: "k"}, "client.DPoP": client.DPoP{Key: canaryKey{canary}}, "transport.Bound": transport.Bound{Token: held}, "client.MutualTLS": client.MutualTLS{Certificate: tls.Certificate{PrivateKey: canaryKey{canary}}},
		"client.Config": cfg, "client.Client": c, "client.Session": alice, "client.ServerError": server,
		"transport.Token": held, "transport.Source": source, "transport.Transport": tr,
		"transport.SourceConfig": transport.SourceConfig{Store: store}, "transport.Config": transport.Config{Source: source},
		"transport.RefreshError": refresh, "transport.Status": bob.Status(),
		"tokenstore.Secret": rec.RefreshToken, "tokenstore.Record": rec, "tokenstore.AccessToken": rec.Access[0],
		"tokenstore.Memory": store, "tokenstore.SealKey": sealKey, "tokenstore.Sealed": sealed,
		"http.Client": alice.HTTPClient(), "http.RoundTripper": alice.Transport(), "oauth2.TokenSource": alice.TokenSource(),
		"clienttest.Server": srv, "clienttest.Stats": srv.Stats(), "clienttest.Fault": clienttest.OAuthError("invalid_grant"),
		"error": refused, "context": client.WithSession(ctx, alice),
	}
}

// harmless are the exported types that hold no secret by what they are: numbers,
// words, funcs, what the program itself says. Events are among them: their texts
// are fingerprints and errors.
var harmless = []string{
	"client.Quirks", "client.Auth", "client.Grant", "client.ClientSecretBasic", "client.ClientSecretPost", "client.ClientSecretJWT", "client.None",
	"client.ClientCredentials", "client.JWTBearer", "client.TokenExchange", "client.LoginOptions", "client.Target", "client.DevicePrompt",
	"transport.Kind", "transport.Reason", "transport.Outcome", "transport.State", "transport.Subject", "transport.Observer",
	"transport.RefreshBegan", "transport.RefreshEnded", "transport.Saved", "transport.SaveFailed", "transport.Restored",
	"transport.Rejected", "transport.LoginRequiredEvent", "transport.Breaker", "transport.Bare", "transport.LoggedOut", "transport.Revoked", "transport.Retry",
	"transport.RefreshFunc", "transport.Challenge", "client.KeepAliveConfig", "client.Demand", "client.ResourceMetadata",
	"clienttest.Policy",
	"tokenstore.Store", "tokenstore.Dir", "tokenstore.Funcs", "tokenstore.UnknownKeyError",
}

func TestRule113_nothing_printable_shows_a_secret(t *testing.T) {
	types := exportedTypes(t)
	synctest.Test(t, func(t *testing.T) {
		values := holders(t)
		for _, name := range types {
			if _, ok := values[name]; !ok && !slices.Contains(harmless, name) {
				t.Errorf("%s is in neither list of this test", name)
			}
		}
		synctest.Wait() // fmt reads the unexported fields of others, and must not meet their goroutines
		for name, v := range values {
			wantNothingShown(t, name, v)
		}
	})
}

// A canaryKey prints what it is.
type canaryKey struct{ secret string }

func (k canaryKey) Public() crypto.PublicKey { return nil }

func (k canaryKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil }

func wantNothingShown(t *testing.T, name string, v any) {
	t.Helper()
	for how, text := range printed(v) {
		// A Config and what is in it is the program's own, its secret a string, its key any.
		ownField := slices.Contains([]string{"client.Config", "client.PrivateKeyJWT", "client.MutualTLS", "client.DPoP"}, name) && strings.HasSuffix(how, "unexported")
		if shows(text) && !ownField {
			t.Errorf("%s: %s shows the secret: %.300s", name, how, text)
			return
		}
	}
}

// printed returns v in every way in which a program may print it, as it is,
// behind a pointer, and in the places where fmt can't call its methods.
func printed(v any) map[string]string {
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	texts := make(map[string]string)
	for where, v := range map[string]any{
		"": v, "pointer": p.Interface(), "slice": []any{v}, "map": map[string]any{"k": v}, "field": struct{ V any }{v}, "unexported": struct{ v any }{v},
		"error": fmt.Errorf("because of %v, %+v, %#v, %d", v, v, v, v),
	} {
		for _, verb := range "vsqdxXbcoOUeEfFgGtT" {
			for _, flag := range []string{"", "+", "#", " "} {
				verb := "%" + flag + string(verb)
				texts[verb+" "+where] = fmt.Sprintf(verb, v)
			}
		}
		var logs bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&logs, nil), slog.NewJSONHandler(&logs, nil)} {
			slog.New(h).Error("message", "value", v, slog.Group("group", "value", v))
		}
		texts["slog "+where] = logs.String()
		b, err := json.Marshal(v)
		texts["json "+where] = fmt.Sprint(string(b), err)
		b, err = xml.Marshal(v)
		texts["xml "+where] = fmt.Sprint(string(b), err)
		var encoded bytes.Buffer
		err = gob.NewEncoder(&encoded).Encode(v)
		texts["gob "+where] = fmt.Sprint(encoded.String(), err)
		texts["panic "+where] = panicked(v)
	}
	return texts
}

// panicked returns what a program can print of a panic with v.
func panicked(v any) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	panic(v)
}

// shows reports whether text has the canary in it, in any of the ways in which
// verbs write a string.
func shows(text string) bool {
	text = strings.ToLower(text)
	spaced := strings.TrimSpace(fmt.Sprintf("% x", canary))
	for _, form := range []string{
		canary, hex.EncodeToString([]byte(canary)), spaced, strings.ReplaceAll("0x"+spaced, " ", ", 0x"),
		strings.Trim(fmt.Sprint([]byte(canary)), "[]"), url.QueryEscape(canary),
	} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

// exportedTypes returns the exported types of the packages that programs use, from their
// source.
func exportedTypes(t *testing.T) []string {
	var names []string
	for _, pkg := range []string{"client", "client/clienttest", "transport", "tokenstore"} {
		dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/freshet-go/freshet/"+pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, typesIn(t, strings.TrimSpace(string(dir)), path.Base(pkg))...)
	}
	return names
}

func typesIn(t *testing.T, dir, pkg string) (names []string) {
	paths, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, name := range paths {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, spec := range gen.Specs {
				if name := spec.(*ast.TypeSpec).Name.Name; ast.IsExported(name) {
					names = append(names, pkg+"."+name)
				}
			}
		}
	}
	return names
}
