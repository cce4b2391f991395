package client

import (
	"bytes"
	"crypto/tls"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/transport"
)

// goodConfig is a Config that is right; change makes it wrong.
func goodConfig(change func(*Config)) Config {
	c := Config{
		Endpoint: oauth2.Endpoint{TokenURL: "https://auth.example.com/token"},
		ClientID: "app",
	}
	if change != nil {
		change(&c)
	}
	return c
}

func TestWrongConfigurationIsNamed(t *testing.T) {
	if err := goodConfig(nil).check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want   string
		change func(*Config)
	}{
		{"ClientID", func(c *Config) { c.ClientID = "" }},
		{"Issuer and Endpoint", func(c *Config) { c.Endpoint.TokenURL = "" }},
		{"Issuer is not https", func(c *Config) { c.Issuer = "http://auth.example.com" }},
		{"Issuer has a query", func(c *Config) { c.Issuer = "https://auth.example.com/?canary" }},
		{"Issuer is not a whole URL", func(c *Config) { c.Issuer = "canary" }},
		{"AuthURL", func(c *Config) { c.Endpoint.AuthURL = "http://canary" }},
		{"DeviceAuthURL", func(c *Config) { c.Endpoint.DeviceAuthURL = "http://canary" }},
		{"RevocationURL", func(c *Config) { c.RevocationURL = "http://canary" }},
		{"PushedURL", func(c *Config) { c.PushedURL = "http://canary" }},
		{"RedirectURL is not https", func(c *Config) { c.RedirectURL = "http://canary.example.com/" }},
		{"RedirectURL is not https", func(c *Config) { c.RedirectURL = "javascript:canary" }},
		{"RedirectURL is not a whole URL", func(c *Config) { c.RedirectURL = "/canary" }},
		{"RedirectURL has a fragment", func(c *Config) { c.RedirectURL = "https://app.example.com/#canary" }},
		{"Resources[1] has a fragment", func(c *Config) { c.Resources = []string{"https://api.example.com", "https://api.example.com#canary"} }},
		{"Resources[0] is no absolute URI", func(c *Config) { c.Resources = []string{"canary"} }},
		{"Grant.Assertion", func(c *Config) { c.Grant = JWTBearer{} }},
		{"Grant.Subject", func(c *Config) { c.Grant = TokenExchange{} }},
		{"ClientSecret is set", func(c *Config) { c.ClientSecret, c.Auth = "canary", None{} }},
		{"ClientSecret is empty", func(c *Config) { c.Auth = ClientSecretBasic{} }},
		{"ClientSecret is empty", func(c *Config) { c.Auth = ClientSecretPost{} }},
		{"RefreshBefore", func(c *Config) { c.RefreshBefore = -1 }},
		{"RefreshTimeout", func(c *Config) { c.RefreshTimeout = -time.Second }},
		{"TokenClient.Timeout", func(c *Config) { c.TokenClient = &http.Client{Timeout: -1} }},
		{"TokenClient: InsecureSkipVerify", func(c *Config) {
			c.TokenClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		}},
		{"Scopes[1]", func(c *Config) { c.Scopes = []string{"a", "b canary"} }},
		{"Scopes[0]", func(c *Config) { c.Scopes = []string{""} }},
		{"Scopes[0]", func(c *Config) { c.Scopes = []string{"\"canary"} }},
		{"Scopes[0]", func(c *Config) { c.Scopes = []string{"canaré"} }},
		{"RefreshParams has grant_type", func(c *Config) { c.RefreshParams = url.Values{"grant_type": {"canary"}} }},
		{"RefreshParams has refresh_token", func(c *Config) { c.RefreshParams = url.Values{"refresh_token": {"canary"}} }},
		{"RefreshParams has client_id", func(c *Config) { c.RefreshParams = url.Values{"client_id": {"canary"}} }},
		{"RefreshParams has client_secret", func(c *Config) { c.RefreshParams = url.Values{"client_secret": {"canary"}} }},
		{"Grant.Params has scope", func(c *Config) { c.Grant, c.ClientSecret = ClientCredentials{url.Values{"scope": {"canary"}}}, "s" }},
		{"RefreshParams are set", func(c *Config) {
			c.Grant, c.ClientSecret, c.RefreshParams = ClientCredentials{}, "s", url.Values{"a": {"canary"}}
		}},
		{"ClientSecret is empty", func(c *Config) { c.Grant = ClientCredentials{} }},
		{"ClientID or ClientSecret has a control", func(c *Config) { c.ClientSecret = "canary\n" }},
		{"TokenHeader has Authorization", func(c *Config) { c.TokenHeader = http.Header{"authorization": {"canary"}} }},
		{"TokenHeader has Content-Type", func(c *Config) { c.TokenHeader = http.Header{"Content-Type": {"canary"}} }},
		{"TokenHeader has Host", func(c *Config) { c.TokenHeader = http.Header{"Host": {"canary"}} }},
		{"TokenHeader has Idempotency-Key", func(c *Config) { c.TokenHeader = http.Header{"Idempotency-Key": {"canary"}} }},
		{"TokenHeader has a name", func(c *Config) { c.TokenHeader = http.Header{"can\r\nary": {"x"}} }},
		{"TokenHeader: the value of X", func(c *Config) { c.TokenHeader = http.Header{"X": {"canary\r\n"}} }},
		{"Origins[0]", func(c *Config) { c.Origins = []string{"example.com"} }},
		{"DangerouslyAllowHTTP[0]", func(c *Config) { c.DangerouslyAllowHTTP = []string{"*"} }},
	} {
		err := goodConfig(c.change).check()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("error %v, want %q in it and no value", err, c.want)
		}
		if err != nil && strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("one mistake, several complaints: %v", err)
		}
	}
	all := goodConfig(func(c *Config) {
		c.ClientID, c.RefreshBefore, c.RefreshTimeout, c.Scopes = "", -1, -1, []string{""}
	}).check()
	if got := strings.Count(fmt.Sprint(all), "client: Config."); got != 4 {
		t.Errorf("%d of 4 mistakes are named: %v", got, all)
	}
}

func TestConfigsThatAreRight(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Issuer = "https://auth.example.com/tenant" },
		func(c *Config) { c.ClientSecret = "s" },
		func(c *Config) { c.ClientSecret, c.Auth = "s", ClientSecretPost{} },
		func(c *Config) { c.RefreshParams = url.Values{"redirect_uri": {"https://x"}, "scope": {"a"}} },
		func(c *Config) { c.TokenHeader = http.Header{"X-Tenant": {"a\tb"}, "User-Agent": {"app"}} },
		func(c *Config) { c.Scopes = []string{"openid", "https://api.example.com/a.b", "read:x"} },
		func(c *Config) { c.TokenClient = http.DefaultClient },
		func(c *Config) { c.Grant, c.ClientSecret = ClientCredentials{url.Values{"audience": {"x"}}}, "s" },
		func(c *Config) { c.Grant, c.Auth = ClientCredentials{}, None{} },
	} {
		if c := goodConfig(change); c.check() != nil {
			t.Errorf("%v: %v", c, c.check())
		}
	}
}

func TestFromOAuth2(t *testing.T) {
	for _, c := range []struct {
		style  oauth2.AuthStyle
		secret string
		want   Auth
	}{
		{oauth2.AuthStyleInHeader, "s", ClientSecretBasic{}},
		{oauth2.AuthStyleInParams, "s", ClientSecretPost{}},
		{oauth2.AuthStyleAutoDetect, "s", ClientSecretBasic{}},
		{oauth2.AuthStyleAutoDetect, "", None{}},
		{oauth2.AuthStyleInParams, "", None{}},
		{oauth2.AuthStyleInHeader, "", None{}},
	} {
		theirs := &oauth2.Config{
			ClientID: "app", ClientSecret: c.secret, Scopes: []string{"a"},
			Endpoint: oauth2.Endpoint{TokenURL: "https://auth.example.com/token", AuthStyle: c.style},
		}
		cfg := FromOAuth2(theirs)
		theirs.Scopes[0] = "changed"
		if err := cfg.check(); err != nil || cfg.auth() != c.want || cfg.ClientID != "app" || cfg.Scopes[0] != "a" {
			t.Errorf("style %v, secret %q: %v with %T, %v", c.style, c.secret, cfg, cfg.auth(), err)
		}
	}
}

func TestConfigShowsNoSecret(t *testing.T) {
	c := goodConfig(func(c *Config) {
		c.ClientSecret = "canary-1"
		c.Endpoint.TokenURL = "https://u:canary-2@auth.example.com/token?canary-3"
		c.RefreshParams = url.Values{"x": {"canary-4"}}
		c.TokenHeader = http.Header{"X": {"canary-5"}}
		c.Grant = ClientCredentials{url.Values{"x": {"canary-6"}}}
	})
	type holder struct{ Config Config }
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t"} {
		fmt.Fprintf(&b, verb, c)
		fmt.Fprintf(&b, verb, &c)
		fmt.Fprintf(&b, verb, holder{c})
		fmt.Fprintf(&b, verb, []any{c})
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "c", c, "h", holder{c})
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "c", c, "h", holder{c})
	if strings.Contains(b.String(), "canary") || strings.Contains(b.String(), fmt.Sprintf("%x", "canary")) {
		t.Errorf("a secret is shown in %s", b.String())
	}
	if text := c.String(); !strings.Contains(text, `"app"`) || !strings.Contains(text, "auth.example.com") {
		t.Errorf("not much is left of %s", text)
	}
	if out, err := json.Marshal(c); err == nil {
		t.Errorf("json.Marshal gave %s", out)
	}
	if err := gob.NewEncoder(&b).Encode(c); err == nil {
		t.Error("gob takes it")
	}
}

func TestConfigCloneSharesNothing(t *testing.T) {
	c := goodConfig(func(c *Config) {
		c.Scopes, c.Origins, c.DangerouslyAllowHTTP = []string{"a"}, []string{"a"}, []string{"a"}
		c.RefreshParams = url.Values{"x": {"a"}}
		c.TokenHeader = http.Header{"X": {"a"}}
		c.Grant = ClientCredentials{url.Values{"x": {"a"}}}
		c.TokenClient = &http.Client{Timeout: time.Second}
		c.Observer = new(transport.Observer)
	})
	d := c.clone()
	c.Scopes[0], c.Origins[0], c.DangerouslyAllowHTTP[0] = "b", "b", "b"
	c.RefreshParams["x"][0], c.TokenHeader["X"][0], c.Grant.(ClientCredentials).Params["x"][0] = "b", "b", "b"
	c.TokenClient.Timeout = 2 * time.Second
	c.Observer.Bare = func(transport.Bare) {}
	if d.Scopes[0] != "a" || d.Origins[0] != "a" || d.DangerouslyAllowHTTP[0] != "a" || d.RefreshParams["x"][0] != "a" ||
		d.TokenHeader["X"][0] != "a" || d.Grant.(ClientCredentials).Params["x"][0] != "a" ||
		d.TokenClient.Timeout != time.Second || d.Observer.Bare != nil {
		t.Error("the clone changed with the original")
	}
}
