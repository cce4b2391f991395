package client

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

// says is an answer of an API with challenges.
func says(status int, at string, challenges ...string) *http.Response {
	u, _ := url.Parse(at)
	return &http.Response{StatusCode: status, Header: http.Header{"Www-Authenticate": challenges}, Request: &http.Request{URL: u}}
}

func TestDemandOf(t *testing.T) {
	age := func(d time.Duration) *time.Duration { return &d }
	for name, test := range map[string]struct {
		status     int
		challenges []string
		want       Demand
		ok         bool
	}{
		"scope":         {403, []string{`Bearer error="insufficient_scope", scope="a b"`}, Demand{Scopes: []string{"a", "b"}}, true},
		"no scope":      {403, []string{`Bearer error="insufficient_scope", scope="a \" é"`}, Demand{Scopes: []string{"a"}}, true},
		"step-up":       {401, []string{`Bearer error="insufficient_user_authentication", acr_values="mfa pwd", max_age="60"`}, Demand{ACRValues: []string{"mfa", "pwd"}, MaxAge: age(time.Minute)}, true},
		"a new login":   {401, []string{`dpop error="insufficient_user_authentication", max_age=0`}, Demand{MaxAge: age(0)}, true},
		"no age":        {401, []string{`DPoP error="insufficient_user_authentication", max_age="-1"`}, Demand{}, true},
		"both":          {403, []string{`Basic`, `Bearer error="insufficient_scope", scope="a"`, `DPoP error="insufficient_user_authentication", acr_values="x"`}, Demand{Scopes: []string{"a"}, ACRValues: []string{"x"}}, true},
		"two lists":     {403, []string{`Bearer error="insufficient_scope", scope="a"`, `DPoP error="insufficient_scope"`}, Demand{Scopes: []string{"a"}}, true},
		"one age":       {401, []string{`Bearer error="insufficient_user_authentication", max_age="60"`, `DPoP error="insufficient_user_authentication"`}, Demand{MaxAge: age(time.Minute)}, true},
		"metadata":      {401, []string{`Bearer resource_metadata="https://api.test/m"`}, Demand{Metadata: "https://api.test/m"}, false},
		"token":         {401, []string{`Bearer error="invalid_token"`}, Demand{}, false},
		"other scheme":  {403, []string{`Basic error="insufficient_scope", scope="a"`}, Demand{}, false},
		"other status":  {200, []string{`Bearer error="insufficient_scope", scope="a"`}, Demand{}, false},
		"no challenges": {401, nil, Demand{}, false},
	} {
		got, ok := DemandOf(says(test.status, "https://api.test/", test.challenges...))
		if ok != test.ok || fmt.Sprint(got.Scopes, got.ACRValues, got.Metadata) != fmt.Sprint(test.want.Scopes, test.want.ACRValues, test.want.Metadata) || !reflect.DeepEqual(got.MaxAge, test.want.MaxAge) {
			t.Errorf("%s: %+v, %t", name, got, ok)
		}
	}
	if _, ok := DemandOf(nil); ok {
		t.Error("nothing demands something")
	}
}

// What an API demands is what the next login asks for.
func TestDemand_is_asked_for(t *testing.T) {
	f := newLogins(t)
	f.signInAlice(t)
	f.Inject(testserver.OnAPI, 1, testserver.Unauthorized(`Bearer error="insufficient_user_authentication", acr_values="mfa", max_age="0"`, `Bearer error="insufficient_scope", scope="read write"`))
	resp, err := f.session.HTTPClient().Get(f.APIURL("/"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	d, ok := DemandOf(resp)
	if !ok || f.Log().Refreshes() != 0 {
		t.Errorf("%+v, %t, %d refreshes", d, ok, f.Log().Refreshes())
	}
	f.begin(t, &LoginOptions{Account: "alice", Demand: &d})
	if form := f.sent(t, testserver.Push); form.Get("acr_values") != "mfa" || form.Get("max_age") != "0" || form.Get("scope") != "read write" {
		t.Errorf("asked for %v", form)
	}
	wrong := -time.Second
	if _, err := f.client.BeginLogin(t.Context(), &LoginOptions{Account: "alice", Demand: &Demand{Scopes: []string{"a b"}, MaxAge: &wrong, ACRValues: []string{"\n"}}}); err == nil ||
		strings.Count(err.Error(), "LoginOptions.Demand.") != 3 {
		t.Errorf("a demand that can't be: %v", err)
	}
}

func TestRule103_metadata_of_an_API_is_its_own_and_names_our_server(t *testing.T) {
	const api, doc = "https://api.test/v1/things?x=1", "https://api.test/.well-known/oauth-protected-resource/v1"
	text := func(resource, issuer string) string {
		return fmt.Sprintf(`{"resource":%q,"authorization_servers":["https://other.test",%q],"scopes_supported":["read"],"dpop_bound_access_tokens_required":true}`, resource, issuer)
	}
	for name, test := range map[string]struct {
		at, where, text string
		ok              bool
	}{
		"its own":              {api, doc, text("https://api.test/v1", testIssuer), true},
		"the very URL":         {api, doc, text("https://api.test/v1/things", testIssuer), true},
		"the whole host":       {api, doc, text("https://API.test:443/", testIssuer), true},
		"another server alone": {api, doc, text("https://api.test/v1", "https://evil.test"), false},
		"no server":            {api, doc, `{"resource":"https://api.test/v1"}`, false},
		"server with a slash":  {api, doc, text("https://api.test/v1", testIssuer+"/"), false},
		"another API":          {api, doc, text("https://victim.test/v1", testIssuer), false},
		"another path":         {api, doc, text("https://api.test/v", testIssuer), false},
		"below":                {api, doc, text("https://api.test/v1/things/more", testIssuer), false},
		"plain":                {api, doc, text("http://api.test/v1", testIssuer), false},
		"fragment":             {api, doc, text("https://api.test/v1#", testIssuer), false},
		"query":                {api, doc, text("https://api.test/v1?x=1", testIssuer), false},
		"no resource":          {api, doc, `{"authorization_servers":["` + testIssuer + `"]}`, false},
		"document elsewhere":   {api, "https://evil.test/doc", text("https://api.test/v1", testIssuer), false},
		"document on a port":   {api, "https://api.test:8443/doc", text("https://api.test/v1", testIssuer), false},
		"document in clear":    {api, "http://api.test/doc", text("https://api.test/v1", testIssuer), false},
		"document with a user": {api, "https://u:p@api.test/doc", text("https://api.test/v1", testIssuer), false},
		"no document":          {api, "", "", false},
		"types":                {api, doc, `{"resource":["https://api.test/v1"],"authorization_servers":"` + testIssuer + `"}`, false},
		"not JSON":             {api, doc, "<html>", false},
		"twice":                {api, doc, `{"resource":"https://evil.test","resource":"https://api.test/v1","authorization_servers":["` + testIssuer + `"]}`, false},
		"too large":            {api, doc, `{"x":"` + strings.Repeat("x", maxAnswer) + `"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			asked := &asked{site: site{test.where: test.text}}
			c, err := New(Config{Issuer: testIssuer, ClientID: "app", ClientSecret: testSecret, TokenClient: &http.Client{Transport: bareOnly{t, asked}}})
			if err != nil {
				t.Fatal(err)
			}
			m, err := c.ResourceMetadata(t.Context(), says(401, test.at, `Bearer resource_metadata="`+test.where+`"`))
			if (err == nil) != test.ok || test.ok && (m.Resource == "" || len(m.Scopes) != 1 || !m.DPoP) || !test.ok && m.Resource != "" {
				t.Errorf("%+v, %v", m, err)
			}
			for _, u := range asked.urls {
				if u != "GET "+test.where || strings.Contains(u, "evil") || strings.Contains(u, "8443") {
					t.Errorf("asked %s", u)
				}
			}
		})
	}
}

// bareOnly fails a request that has credentials.
type bareOnly struct {
	t *testing.T
	*asked
}

func (b bareOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Authorization") != "" || req.Header.Get("DPoP") != "" || req.Header.Get("Cookie") != "" || req.Body != nil {
		b.t.Errorf("asked with %v", req.Header)
	}
	return b.asked.RoundTrip(req)
}

// FuzzResource: whatever an API writes, what is taken of it is about that API and our
// server.
func FuzzResource(f *testing.F) {
	at, _ := url.Parse("https://api.test/v1/things")
	for _, seed := range []string{`{"resource":"https://api.test/","authorization_servers":["` + testIssuer + `"]}`, `{"resource":"https://api.test/v1/","authorization_servers":[]}`, "{"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := readResource(text, at, testIssuer)
		if err != nil {
			if m.Resource != "" || len(m.Scopes) > 0 {
				t.Errorf("with an error: %+v", m)
			}
			return
		}
		u, perr := url.Parse(m.Resource)
		if perr != nil || !strings.EqualFold(u.Hostname(), "api.test") || !strings.EqualFold(u.Scheme, "https") {
			t.Errorf("taken: %s", text)
		}
	})
}
