package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// newLogins returns a client without a session, that knows its server by the issuer
// alone.
func newLogins(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	f := &fixture{Server: testserver.New()}
	t.Cleanup(f.Close)
	cfg := Config{
		Issuer:       f.Issuer(),
		ClientID:     testID,
		ClientSecret: testSecret,
		Scopes:       []string{"read"},
		RedirectURL:  "https://app.example.com/callback",
		Store:        new(tokenstore.Memory),
		Base:         f.Transport(),
		TokenClient:  f.Client(),
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if f.client, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.client.Close(context.Background()) })
	f.session = f.client.Session("alice")
	return f
}

// plainURL is the change that leaves nothing to be asked before the user goes to the server.
func plainURL(c *Config) {
	c.Endpoint = oauth2.Endpoint{AuthURL: "https://auth.test/authorize", TokenURL: "https://auth.test/token"}
}

// backHere is the change that makes logins come back to this machine.
func backHere(c *Config) { c.RedirectURL = "" }

// openAs returns an Open that is the browser and its user.
func (f *fixture) openAs(p testserver.Person) func(context.Context, string) error {
	return func(ctx context.Context, url string) error { return f.Visit(ctx, p, url) }
}

// begin begins a login in a web back end.
func (f *fixture) begin(t *testing.T, opts *LoginOptions) *Login {
	t.Helper()
	login, err := f.client.BeginLogin(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return login
}

// back returns what comes back from the server for login.
func (f *fixture) back(t *testing.T, login *Login, p testserver.Person) url.Values {
	t.Helper()
	params, err := f.Callback(t.Context(), p, login.URL())
	if err != nil {
		t.Fatal(err)
	}
	return params
}

// wantCall checks that the API takes the session's token as that of account.
func (f *fixture) wantCall(t *testing.T, s *Session, account string) {
	t.Helper()
	resp, err := s.HTTPClient().Get(f.APIURL("/me"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all := f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.API })
	if got := all[len(all)-1].Account; resp.StatusCode != http.StatusOK || got != account {
		t.Errorf("the API answered %d to %q, want 200 to %q", resp.StatusCode, got, account)
	}
}

var alice = testserver.Person{Account: "alice"}

func TestLogin_on_this_machine(t *testing.T) {
	for _, redirect := range []string{"", "http://127.0.0.1", "http://127.0.0.1:0/a/b?c=d", "http://[::1]/cb", "http://localhost/cb"} {
		t.Run(redirect, func(t *testing.T) {
			f := newLogins(t, func(c *Config) { c.RedirectURL = redirect })
			if err := f.session.Login(t.Context(), &LoginOptions{Open: f.openAs(alice)}); err != nil {
				t.Fatal(err)
			}
			f.wantCall(t, f.session, "alice")
			f.wantCall(t, f.client.Session("alice"), "alice")
			if n := f.Log().Grants("authorization_code"); n != 1 {
				t.Errorf("%d codes were exchanged", n)
			}
		})
	}
}

func TestLogin_in_a_web_back_end(t *testing.T) {
	names := func(_ context.Context, rec tokenstore.Record) (string, error) {
		ms, err := claimsIn(rec.IDToken.Reveal())
		name, _ := ms.text("sub")
		return name, err
	}
	f := newLogins(t, func(c *Config) { c.AccountOf = names })
	f.UpdatePolicy(func(p *testserver.Policy) { p.IDToken = true })
	first, second := f.begin(t, nil), f.begin(t, &LoginOptions{Nonce: true})
	for name, login := range map[string]*Login{"bob": second, "alice": first} { // many users, one client
		text, err := login.MarshalText()
		if err != nil || len(text) > 1024 {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		kept := new(Login)
		if err := kept.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		s, err := f.client.FinishLogin(t.Context(), kept, f.back(t, login, testserver.Person{Account: name}))
		if err != nil {
			t.Fatal(err)
		}
		if s.Account() != name || s != f.client.Session(name) {
			t.Errorf("the session of %q, want %q", s.Account(), name)
		}
		f.wantCall(t, s, name)
		if tok, _ := s.Token(t.Context()); tok.IDToken() == "" || tok.Scope() != "read" {
			t.Errorf("id_token there: %t, scope %q", tok.IDToken() != "", tok.Scope())
		}
	}
}

// What ends a login, and how it reads.
func TestLogin_ends(t *testing.T) {
	bob := testserver.Person{Account: "bob"}
	checked := func(c *Config) {
		c.AccountOf = func(context.Context, tokenstore.Record) (string, error) { return "bob", nil }
	}
	for name, test := range map[string]struct {
		change func(*Config)
		do     func(f *fixture, opts *LoginOptions)
		person testserver.Person
		want   error
		text   string
	}{
		"refused":       {person: testserver.Person{Account: "alice", Denies: true}, want: ErrAccessDenied, text: "sign in again to be asked once more"},
		"wrong account": {change: checked, person: bob, want: ErrWrongAccount, text: `("bob", not "alice")`},
		"took too long": {do: func(_ *fixture, o *LoginOptions) {
			o.Timeout = 50 * time.Millisecond
			o.Open = func(context.Context, string) error { return nil }
		}, want: ErrLoginExpired, text: "begin it again"},
		"no browser": {do: func(_ *fixture, o *LoginOptions) {
			o.Open = func(context.Context, string) error { return errors.New("no display") }
		},
			text: "could not be shown: no display"},
		"panic": {do: func(_ *fixture, o *LoginOptions) { o.Open = func(context.Context, string) error { panic("canary") } },
			text: "panic (string) in LoginOptions.Open"},
		"code refused": {do: func(f *fixture, _ *LoginOptions) {
			f.Inject(testserver.OnCode, 1, testserver.OAuthError(400, "invalid_grant", "the code expired"))
		}, person: alice, text: "invalid_grant (the code expired)"},
		"server away": {do: func(f *fixture, _ *LoginOptions) {
			f.Inject(testserver.OnCode, testserver.Always, testserver.Status(503))
		},
			person: alice, text: "503"},
		"no metadata": {do: func(f *fixture, _ *LoginOptions) {
			f.UpdatePolicy(func(p *testserver.Policy) { p.Documents = testserver.NoDocument })
		}, text: "no metadata at"},
		"no PKCE":  {do: announces("code_challenge_methods_supported", `["plain"]`), text: "Quirks.UnannouncedPKCE"},
		"no login": {do: announces("authorization_endpoint", testserver.Omit), text: "no authorization endpoint"},
		"server error": {do: func(f *fixture, _ *LoginOptions) {
			announces("pushed_authorization_request_endpoint", testserver.Omit)(f, nil)
			f.Inject(testserver.OnAuthorize, 1, refuseBack)
		}, person: alice, text: "the authorization endpoint answered temporarily_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newLogins(t, backHere)
			if test.change != nil {
				f = newLogins(t, backHere, test.change)
			}
			opts := &LoginOptions{Open: f.openAs(test.person)}
			if test.do != nil {
				test.do(f, opts)
			}
			err := f.session.Login(t.Context(), opts)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %v, want %v with %q", err, test.want, test.text)
			}
			if strings.Contains(shown(err), "canary") {
				t.Errorf("a secret is shown: %v", err)
			}
			t.Log(err)
			if _, err := f.session.Token(t.Context()); !errors.Is(err, ErrLoginRequired) {
				t.Errorf("the session: %v", err)
			}
		})
	}
}

func announces(name, value string) func(*fixture, *LoginOptions) {
	return func(f *fixture, _ *LoginOptions) {
		f.UpdatePolicy(func(p *testserver.Policy) { p.Metadata = map[string]string{name: value} })
	}
}

// refuseBack sends the browser back with an error that is none of the user's.
func refuseBack(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	q := r.URL.Query()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"error": {"temporarily_unavailable"}, "state": {q.Get("state")}, "iss": {"https://auth.test"}}.Encode(), http.StatusFound)
}

// Tokens that are not kept are revoked.
func TestLogin_of_the_wrong_account_leaves_no_tokens(t *testing.T) {
	f := newLogins(t, func(c *Config) {
		c.AccountOf = func(context.Context, tokenstore.Record) (string, error) { return "bob", nil }
	})
	login := f.begin(t, &LoginOptions{Account: "alice"})
	_, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, testserver.Person{Account: "bob"}))
	if !errors.Is(err, ErrWrongAccount) {
		t.Fatal(err)
	}
	if n := f.Log().Revocations(); n != 2 {
		t.Errorf("%d tokens were revoked, want both", n)
	}
}

func TestLogin_that_can_not_begin(t *testing.T) {
	f := newLogins(t)
	closed := newLogins(t)
	closed.client.Close(t.Context())
	for _, test := range []struct {
		c    *Client
		opts *LoginOptions
		text string
	}{
		{f.client, nil, "whose login is it"},
		{f.client, &LoginOptions{Account: "a", Params: url.Values{"state": {"x"}}}, "client: LoginOptions.Params has state"},
		{f.client, &LoginOptions{Account: "a", Params: url.Values{"redirect_uri": {"x"}}}, "Params has redirect_uri"},
		{f.client, &LoginOptions{Account: "a", Params: url.Values{"client_id": {"x"}}}, "Params has client_id"},
		{f.client, &LoginOptions{Account: "a", Timeout: -1}, "Timeout is negative"},
		{newLogins(t, backHere).client, &LoginOptions{Account: "a"}, "Config.RedirectURL is empty"},
		{newLogins(t, func(c *Config) { c.Grant = ClientCredentials{} }).client, &LoginOptions{Account: "a"}, "Config.Grant"},
		{closed.client, &LoginOptions{Account: "a"}, "closed"},
	} {
		if login, err := test.c.BeginLogin(t.Context(), test.opts); err == nil || login != nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%v, want %q", err, test.text)
		}
	}
	if _, err := f.client.Login(t.Context(), &LoginOptions{Account: "a"}); err == nil || !strings.Contains(err.Error(), "not on this machine") {
		t.Errorf("Login with a redirect URL elsewhere: %v", err)
	}
	loops := newLogins(t, func(c *Config) { c.RedirectURL = "http://127.0.0.1/signed-in" })
	if err := loops.session.Login(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "at which a login ends") {
		t.Errorf("Login with the path of a page: %v", err)
	}
	if err := f.session.Login(t.Context(), &LoginOptions{Account: "bob"}); err == nil || !strings.Contains(err.Error(), "leave it empty") {
		t.Errorf("Login of another account: %v", err)
	}
	if n := len(f.Log().Entries()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// A login that is left ends at once, listens no more, and leaves the session as it was.
func TestLogin_that_is_left(t *testing.T) {
	f := newLogins(t, backHere)
	ctx, cancel := context.WithCancel(t.Context())
	var redirect string
	err := f.session.Login(ctx, &LoginOptions{Open: func(_ context.Context, url string) error {
		redirect = redirectOf(t, url)
		cancel()
		return nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if resp, err := http.Get(redirect); err == nil {
		t.Errorf("something still listens: %d", resp.StatusCode)
	}
}

func redirectOf(t *testing.T, authURL string) string {
	t.Helper()
	u, err := url.Parse(authURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("redirect_uri")
}

// Whichever of the two is seen first, an Open that ends with its context is not what
// went wrong.
func TestLogin_that_takes_too_long(t *testing.T) {
	for range 100 { // both have come
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(ErrLoginExpired)
		opened := make(chan error, 1)
		opened <- ctx.Err()
		if _, err := new(loopbackServer).await(ctx, opened); err != ErrLoginExpired {
			t.Fatal(err)
		}
	}
	for range 20 {
		f := newLogins(t, plainURL, backHere) // nothing is asked before the browser opens
		err := f.session.Login(t.Context(), &LoginOptions{Timeout: 5 * time.Millisecond, Open: func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		if !errors.Is(err, ErrLoginExpired) {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			f := newLogins(t)
			err := f.session.LoginDevice(t.Context(), func(ctx context.Context, _ DevicePrompt) error {
				<-ctx.Done()
				return ctx.Err()
			})
			if !errors.Is(err, ErrLoginExpired) {
				t.Fatal(err)
			}
		})
	}
}

// A panic of the program's own does not leave a listener behind.
func TestLogin_whose_account_panics(t *testing.T) {
	f := newLogins(t, backHere, func(c *Config) {
		c.AccountOf = func(context.Context, tokenstore.Record) (string, error) { panic("of the program") }
	})
	var redirect string
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		announces("pushed_authorization_request_endpoint", testserver.Omit)(f, nil)
		f.client.Login(t.Context(), &LoginOptions{Open: func(ctx context.Context, authURL string) error {
			redirect = redirectOf(t, authURL)
			return f.Visit(ctx, alice, authURL)
		}})
	}()
	if resp, err := http.Get(redirect); err == nil {
		t.Errorf("something still listens: %d", resp.StatusCode)
	}
}

// What is remembered of logins that were finished goes when they expire.
func TestLogins_do_not_pile_up(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newLogins(t)
		for i := range 10_000 {
			if !f.client.use(&pending{State: fmt.Sprint(i), Expiry: time.Now().Add(time.Minute)}) {
				t.Fatal("not used before")
			}
			time.Sleep(time.Second)
		}
		if n := len(f.client.used); n > 1100 {
			t.Errorf("%d logins are remembered", n)
		}
	})
}

// Logins at the same time have a port each; those with one port come one after the other.
func TestLogins_at_once(t *testing.T) {
	errs := make(chan error)
	for i := range 10 {
		go func() {
			name := fmt.Sprint("user", i)
			f := newLogins(t, backHere)
			errs <- f.client.Session(name).Login(t.Context(), &LoginOptions{Open: f.openAs(testserver.Person{Account: name})})
		}()
	}
	for range 10 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	ln, err := listenLoopback(url.URL{Scheme: "http", Host: "127.0.0.1", Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.close(false)
	busy := newLogins(t, func(c *Config) { c.RedirectURL = ln.redirect })
	if err := busy.session.Login(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "another login may be under way") {
		t.Errorf("on a port in use: %v", err)
	}
}

// A login whose record can't be saved is in use all the same.
func TestLogin_while_the_store_is_away(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("away")
		f := newLogins(t, func(c *Config) {
			c.Store = &tokenstore.Funcs{
				LoadFunc: func(context.Context, string) ([]byte, error) { return nil, away },
				SaveFunc: func(context.Context, string, []byte) error { return away },
			}
		})
		login := f.begin(t, &LoginOptions{Account: "alice"})
		s, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice))
		var re *transport.RefreshError
		if !errors.As(err, &re) || re.Kind != transport.StoreFailed || s == nil {
			t.Fatalf("%v, %v", s, err)
		}
		f.wantCall(t, s, "alice")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f.client.Close(ctx)
	})
}
