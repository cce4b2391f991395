package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

func TestRule115_logs_and_events_hold_no_secret(t *testing.T) {
	t.Run("story", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { tellStory(t) }) })
	t.Run("story with proofs", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { tellStory(t, bound) }) })
	t.Run("fingerprints differ between processes", func(t *testing.T) {
		const mark, variable = "fingerprint:", "FRESHET_PRINT_FINGERPRINT"
		own := mark + tokenstore.NewSecret("token").Fingerprint()
		if os.Getenv(variable) != "" {
			fmt.Println(own)
			return
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRule115_logs_and_events_hold_no_secret$/^fingerprints_differ_between_processes$")
		cmd.Env = append(os.Environ(), variable+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), mark) {
			t.Fatalf("%v\n%s", err, out)
		}
		if strings.Contains(string(out), own) {
			t.Errorf("another process has the same %s", own)
		}
	})
}

// A story is a session to which everything happens, and all that was said of it.
type story struct {
	*fixture
	*witness
	t      *testing.T
	store  *leakyStore
	memory *tokenstore.Memory        // below, where records are sealed
	broken atomic.Pointer[roundTrip] // instead of the server's transport, if not nil
	fixed  canaries                  // those that never change
	quotes int
}

func (s *story) RoundTrip(req *http.Request) (*http.Response, error) {
	if f := s.broken.Load(); f != nil {
		return f.RoundTrip(req)
	}
	return s.Server.Transport().RoundTrip(req)
}

func newStory(t *testing.T, change ...func(*Config)) *story {
	s := &story{t: t, witness: new(witness), memory: new(tokenstore.Memory)}
	key, err := tokenstore.GenerateSealKey("id")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := tokenstore.NewSealed(s.memory, key)
	if err != nil {
		t.Fatal(err)
	}
	s.fixed = canaries{
		"client secret": "client secret+canary%1", "token header": "token-header-canary", "refresh param": "refresh-param-canary", "seal key": key.Reveal(),
	}
	s.store = &leakyStore{Store: sealed, seen: maps.Clone(s.fixed)}
	s.fixture = newFixture(t, append(change, func(c *Config) {
		c.ClientSecret = s.fixed["client secret"]
		c.TokenHeader = http.Header{"X-Api-Key": {s.fixed["token header"]}}
		c.RefreshParams = url.Values{"assertion": {s.fixed["refresh param"]}}
		c.Store, c.Logger, c.Observer = s.store, s.logger(), s.observer(t)
		c.Origins = []string{"https://api.test"}
		c.TokenClient = &http.Client{Transport: s}
		c.Endpoint = oauth2.Endpoint{} // what logins need is in the metadata
		c.RevocationURL, c.RedirectURL = "", "https://app.example.com/callback"
	})...)
	s.UpdatePolicy(func(p *testserver.Policy) {
		p.IDToken, p.Members = true, map[string]string{"device_secret": `"device-secret-canary"`}
	})
	return s
}

// quote returns every secret that the server knows by now, each time with another
// one first, since texts are cut.
func (s *story) quote() string {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	known := maps.Clone(s.fixed)
	maps.Copy(known, secretsIn(s.store.last))
	delete(known, "seal key")
	secrets := slices.Sorted(maps.Values(known))
	s.quotes++
	i := (s.quotes + s.quotes/4) % len(secrets) // four kinds of answers take turns
	return strings.Join(slices.Concat(secrets[i:], secrets[:i]), " ")
}

// once makes do happen to the next token request, and has the program send it.
func (s *story) once(do testserver.Action) {
	s.stale()
	i := s.Inject(testserver.OnToken, 1, do)
	if s.ask(); i.Hits() != 1 {
		s.t.Errorf("no token request was sent: %+v", s.session.Status())
		i.Clear()
	}
}

// ask uses the session in the ways in which programs do, and keeps what it gets.
func (s *story) ask() {
	tok, err := s.session.Token(s.t.Context())
	s.say(tok)
	s.say(errors.Join(errors.New("joined"), fmt.Errorf("wrapped %w and %w", err, context.Canceled)))
	for _, target := range []string{s.APIURL("/"), "https://elsewhere.test/"} {
		resp, err := s.session.HTTPClient().Get(target)
		s.say(err)
		if err == nil {
			s.say(transport.RefreshErrorOf(resp))
			resp.Body.Close()
		}
	}
	_, err = s.session.TokenSource().Token()
	s.say(err)
	s.sayAll(s.session.Status())
}

// stale makes the next call need a refresh, whatever came before.
func (s *story) stale() { time.Sleep(2 * time.Hour) }

// login begins the session anew.
func (s *story) login() {
	if err := s.session.Import(s.t.Context(), &oauth2.Token{RefreshToken: s.BeginSession("alice").RefreshToken}); err != nil {
		s.t.Fatal(err)
	}
}

func tellStory(t *testing.T, change ...func(*Config)) {
	s := newStory(t, change...)
	s.ask()
	for _, chapter := range []func(){s.answers, s.connections, s.rejections, s.stores, s.panics, s.end, s.logout, s.logins} {
		chapter()
		s.ClearFaults()
		s.stale()
		if s.ask(); s.session.Status().State != transport.StateFresh {
			t.Fatalf("a chapter ends with %+v", s.session.Status())
		}
	}
	synctest.Wait()
	for _, e := range s.Log().Entries() { // what a failing test prints
		s.say(e)
	}
	s.say(s.client)
	s.say(s.store.last)
	for name, n := range s.events {
		if n == 0 {
			t.Errorf("Observer.%s was never called: tell a chapter in which it is", name)
		}
	}
	if len(s.store.seen) < 50 || s.log.Len() < 10_000 {
		t.Errorf("%d secrets and %d bytes of log: that was no story", len(s.store.seen), s.log.Len())
	}
	s.store.seen.want(t, "the log", s.log.String())
	s.store.seen.want(t, "an event, an error or a status", s.said.String())
}

// answers are those of a token endpoint that quotes what it knows.
func (s *story) answers() {
	for _, status := range []int{200, 400, 401, 403, 404, 429, 500, 503} {
		for _, action := range []func(text string) testserver.Action{
			func(text string) testserver.Action { return testserver.OAuthError(status, "invalid_request", text) },
			func(text string) testserver.Action {
				return testserver.Respond(status, http.Header{"Content-Type": {"application/json"}},
					fmt.Sprintf(`{"error":%q,"error_description":%[1]q,"error_uri":%[1]q}`, text))
			},
			func(text string) testserver.Action {
				return testserver.Respond(status, http.Header{"Content-Type": {"text/html"}, "Location": {"https://x/?" + url.QueryEscape(text)},
					"Www-Authenticate": {`Bearer error="` + text + `"`}}, "<html>"+text)
			},
			func(text string) testserver.Action {
				return testserver.Redirect(307, "https://x/"+url.PathEscape(text))
			},
		} {
			s.once(func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { action(s.quote())(w, r, nil) })
		}
	}
	for _, typ := range []string{"refresh", "access"} { // a token that is the type of another
		secret := secretsIn(s.store.last)[typ+" token"]
		s.once(testserver.Respond(200, http.Header{"Content-Type": {"application/json"}},
			fmt.Sprintf(`{"access_token":"new-access-canary","token_type":%q}`, secret)))
		s.login()
		s.ask()
	}
}

// connections break, with and without an answer.
func (s *story) connections() {
	for _, action := range []testserver.Action{
		testserver.Drop(), testserver.Truncate(), testserver.Raw("HTTP/1.1 200 " + s.quote() + "\r\n" + s.quote() + "\r\n\r\n"),
	} {
		s.stale()
		s.Inject(testserver.OnToken, 2, action)
		s.ask()
		s.login()
	}
	for _, fail := range []func(form string) error{
		func(form string) error { return errors.New("proxy: can't send " + form) },
		func(form string) error { return &url.Error{Op: "Post", URL: "https://x/?" + form, Err: io.EOF} },
		func(form string) error { return &net.DNSError{Err: "no such host", Name: "auth.test"} },
		func(form string) error { return fmt.Errorf("%w, %w", context.DeadlineExceeded, errors.New(form)) },
		func(form string) error { panic(form) },
	} {
		s.stale()
		f := roundTrip(func(req *http.Request) (*http.Response, error) {
			form, _ := io.ReadAll(req.Body)
			return nil, fail(string(form) + req.Header.Get("Authorization") + s.quote())
		})
		s.broken.Store(&f)
		s.ask()
		s.broken.Store(nil)
		s.login()
	}
}

// rejections are 401s of an API that quotes the token.
func (s *story) rejections() {
	s.stale()
	s.ask()
	s.Inject(testserver.OnAPI, testserver.Always, func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		auth := r.Header.Get("Authorization")
		testserver.Unauthorized(`Bearer error="`+strings.Repeat("x", 240)+auth[strings.IndexByte(auth, ' ')+1:]+`", error_description="`+auth+`"`)(w, r, nil)
	})
	for range 5 {
		s.ask()
		time.Sleep(time.Second)
	}
	s.ClearFaults()
	s.Inject(testserver.OnToken, 1, testserver.Hook(func(http.ResponseWriter, *http.Request) bool {
		stacks := make([]byte, 1<<20) // of a process in the middle of a refresh
		stacks = stacks[:runtime.Stack(stacks, true)]
		s.mu.Lock()
		defer s.mu.Unlock()
		s.said.Write(stacks)
		return true
	}))
	time.Sleep(20 * time.Minute)
	s.RevokeAllAccess()
	s.ask()
	s.ask()
}

// stores quote what they can't write, lose it and damage it.
func (s *story) stores() {
	for _, format := range []string{"%s", "%q", "%x", "%X", "%v", "%.20s"} {
		s.stale()
		s.store.setTrouble(quoting(format))
		s.ask()
		time.Sleep(time.Minute)
		s.store.setTrouble(nil)
		time.Sleep(time.Minute) // saved at last
	}
	key := s.client.key("alice")
	if err := s.memory.Delete(s.t.Context(), key); err != nil {
		s.t.Fatal(err)
	}
	s.stale()
	s.ask() // and written back
	for _, damaged := range []string{"", "garbage", `{"v":1,"refresh_token":"` + s.quote()} {
		put := func(context.Context, []byte) ([]byte, error) { return []byte(damaged), nil }
		if err := s.memory.Update(s.t.Context(), key, put); err != nil {
			s.t.Fatal(err)
		}
		s.stale()
		s.ask()
		s.login()
	}
}

// panics come out of a store and an observer, with secrets as their values.
func (s *story) panics() {
	s.stale()
	s.store.setTrouble(func(record []byte) error { panic(string(record)) })
	s.ask()
	s.store.setTrouble(nil)
	time.Sleep(time.Minute)
	s.stale()
	s.setPanics(true)
	s.ask()
	synctest.Wait()
	s.setPanics(false)
}

// logout is one that the server hears of, and others that it does not.
func (s *story) logout() {
	for _, action := range []func(text string) testserver.Action{
		func(string) testserver.Action { return testserver.DelayBefore(0) },
		func(string) testserver.Action { return testserver.Drop() },
		func(text string) testserver.Action { return testserver.OAuthError(401, "invalid_client", text) },
		func(text string) testserver.Action { return testserver.OAuthError(503, "server_error", text) },
	} {
		s.Inject(testserver.OnRevoke, 3, func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			action(s.quote())(w, r, next)
		})
		s.say(s.session.Logout(s.t.Context()))
		s.ask()
		s.ClearFaults()
		s.login()
	}
}

// end is that of the session.
func (s *story) end() {
	s.EndSession("alice")
	s.stale()
	s.ask()
	s.login()
}
