package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/internal/testserver"
)

func TestRule114_errors_show_no_secret_no_url_query_and_no_answer(t *testing.T) {
	const (
		body   = "body-canary"
		query  = "query-canary"
		secret = "secret canary+1%"
		param  = "param-canary"
		field  = "header-canary"
		nasty  = "\x1b[2J\x1b]0;x\x07\u202e\u2066\u200b\u034f\u3164\ufe0f\U000e0041\u0085\r\n\x00\x7f\xff"
	)
	jsonText := func(s string) string { return strings.ToValidUTF8(fmt.Sprintf("%q", s), "") }
	escaped := func(s string) string { // as JSON has it, whatever is in s
		var b strings.Builder
		for _, r := range s {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		return `"` + b.String() + `"`
	}
	header := func(contentType string) http.Header {
		return http.Header{
			"Content-Type": {contentType}, "X-Canary": {body}, "Www-Authenticate": {`Basic realm="` + body + `"`},
			"Location": {"https://" + body + "/?" + body}, "Retry-After": {body},
		}
	}
	json := header("application/json")
	answers := map[string]func(echo string) testserver.Action{
		"description": func(echo string) testserver.Action {
			return testserver.Respond(400, json, `{"error":"invalid_client","error_description":`+escaped(nasty+echo+nasty+"too"+strings.Repeat("!", 5000))+
				`,"error_uri":`+escaped("https://x/"+nasty+echo)+`,"x":"`+body+`"}`)
		},
		"description with gaps": func(echo string) testserver.Action { // in which nothing is to be seen
			return testserver.Respond(400, json, `{"error":"invalid_client","error_description":`+escaped(strings.Join(strings.Split(echo, ""), "\u034f"))+`}`)
		},
		"code": func(echo string) testserver.Action {
			return testserver.Respond(400, json, `{"error":`+escaped(nasty+echo)+`}`)
		},
		"200 and error": func(echo string) testserver.Action {
			return testserver.Respond(200, json, `{"error":`+escaped(echo)+`}`)
		},
		"broken JSON": func(string) testserver.Action { return testserver.Respond(200, json, `{"access_token":`+body) },
		"other members": func(string) testserver.Action {
			return testserver.Respond(200, json, `{"`+body+`":`+jsonText(body)+`}`)
		},
		"a bad token": func(string) testserver.Action {
			return testserver.Respond(200, json, `{"access_token":"`+body+`\u0007"}`)
		},
		"a bad type": func(string) testserver.Action {
			return testserver.Respond(200, json, `{"access_token":"`+body+`","token_type":"`+body+" "+`x"}`)
		},
		"HTML": func(string) testserver.Action { return testserver.Respond(503, header("text/html"), "<p>"+body) },
		"form": func(string) testserver.Action {
			return testserver.Respond(200, header("application/x-www-form-urlencoded"), "error%zz="+body)
		},
		"a content type": func(string) testserver.Action { return testserver.Respond(200, header("text/"+body), body) },
		"redirect":       func(string) testserver.Action { return testserver.Respond(307, json, body) },
		"no HTTP":        func(string) testserver.Action { return testserver.Raw(body + "\r\n\r\n") },
		"a status text":  func(string) testserver.Action { return testserver.Raw("HTTP/1.1 400 " + body + "\r\n\r\n") },
		"a bad status":   func(string) testserver.Action { return testserver.Raw("HTTP/1.1 " + body + "\r\n\r\n") },
		"a bad header":   func(string) testserver.Action { return testserver.Raw("HTTP/1.1 200 OK\r\n" + body + "\r\n\r\n") },
		"a bad length": func(string) testserver.Action {
			return testserver.Raw("HTTP/1.1 200 OK\r\nContent-Length: " + body + "\r\n\r\n")
		},
		"a bad coding": func(string) testserver.Action {
			return testserver.Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + body + "\r\n\r\n")
		},
		"a bad chunk": func(string) testserver.Action {
			return testserver.Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + "\r\n")
		},
		"a bad gzip": func(string) testserver.Action {
			return testserver.Raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + body)
		},
		"a broken connection": func(string) testserver.Action { return testserver.Drop() },
	}
	for name, action := range answers {
		for _, auth := range []Auth{ClientSecretBasic{}, ClientSecretPost{}} {
			t.Run(fmt.Sprintf("%s %T", name, auth), func(t *testing.T) {
				f := newFixture(t, func(c *Config) {
					c.Auth, c.ClientSecret = auth, secret
					c.Endpoint.TokenURL += "?x=" + query
					c.RefreshParams = url.Values{"assertion": {param}}
					c.TokenHeader = http.Header{"X-Api-Key": {field}}
				})
				sent := []string{secret, url.QueryEscape(secret), f.seed, param, field}
				if auth == (ClientSecretBasic{}) {
					sent = append(sent, base64.StdEncoding.EncodeToString([]byte(testID+":"+url.QueryEscape(secret))))
				}
				forbidden := []string{query, body, "\x1b", "\x07", "\x00", "\x7f", "\r", "[2J", "\u202e", "\u2066", "\u200b", "\u034f", "\u3164", "\ufe0f", "\U000e0041", "\u0085"}
				f.Inject(testserver.OnToken, testserver.Always, action(strings.Join(sent, " ")))
				err := error(f.fail(t))
				text := shown(err)
				for _, canary := range slices.Concat(sent, forbidden) {
					if strings.Contains(text, canary) {
						t.Errorf("%q is shown in %s", canary, text)
					}
				}
				if len(err.Error()) > 1000 {
					t.Errorf("an error of %d bytes", len(err.Error()))
				}
				var se *ServerError
				if name == "description" && (!errors.As(err, &se) || !strings.Contains(se.Description, "too!!!") || se.Code != "invalid_client") {
					t.Errorf("the harmless part of the description is gone: %v", err)
				}
				var re *oauth2.RetrieveError
				if errors.As(err, &re) && (len(re.Body) > 0 || re.Response.Request != nil || len(re.Response.Header) > 0) {
					t.Error("the x/oauth2 error has the answer or the request in it")
				}
			})
		}
	}
}
