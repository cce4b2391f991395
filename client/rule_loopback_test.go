package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

// withoutPush is a login on this machine whose parameters are all in the URL.
func withoutPush(t *testing.T, change ...func(*Config)) *fixture {
	f := newLogins(t, append([]func(*Config){backHere}, change...)...)
	announces("pushed_authorization_request_endpoint", testserver.Omit)(f, nil)
	return f
}

// waiting calls do while a login waits, with its redirect URI and its authorization URL,
// and then lets the user sign in, which must work.
func waiting(t *testing.T, f *fixture, do func(redirect, authURL string)) {
	t.Helper()
	err := f.session.Login(t.Context(), &LoginOptions{Open: func(ctx context.Context, authURL string) error {
		do(redirectOf(t, authURL), authURL)
		return f.Visit(ctx, alice, authURL)
	}})
	if err != nil {
		t.Error(err)
	}
}

func TestRule092_a_login_listens_on_loopback_alone_and_only_meanwhile(t *testing.T) {
	for _, redirect := range []string{"http://127.0.0.1/cb", "http://[::1]/cb", "http://localhost/cb"} {
		t.Run(redirect, func(t *testing.T) {
			f := withoutPush(t, func(c *Config) { c.RedirectURL = redirect })
			var port string
			waiting(t, f, func(redirect, _ string) {
				u, _ := url.Parse(redirect)
				port = u.Port()
				if port == "" || port == "0" || u.Path != "/cb" {
					t.Errorf("the redirect URI is %s", redirect)
				}
				for _, addr := range append(outsideAddrs(t), "127.0.0.2") {
					if c, err := net.Dial("tcp", net.JoinHostPort(addr, port)); err == nil {
						c.Close()
						t.Errorf("%s takes connections", addr)
					}
				}
				for host, other := range map[string]string{"127.0.0.1": "::1", "::1": "127.0.0.1"} {
					ln, err := net.Listen("tcp", net.JoinHostPort(other, port))
					if err == nil {
						ln.Close()
					}
					if u.Hostname() == "localhost" && !errors.Is(err, syscall.EADDRINUSE) {
						t.Errorf("another process can have [%s]:%s: %v", other, port, err)
					}
					if u.Hostname() == host && err != nil {
						t.Errorf("[%s]:%s is taken too: %v", other, port, err)
					}
				}
			})
			for _, host := range []string{"127.0.0.1", "::1"} {
				ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
				if err != nil {
					t.Fatalf("the port is not free after the login: %v", err)
				}
				ln.Close()
			}
		})
	}
	for _, squatted := range []string{"127.0.0.1", "::1"} {
		ln, err := net.Listen("tcp", net.JoinHostPort(squatted, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		port := ln.Addr().(*net.TCPAddr).Port
		f := withoutPush(t, func(c *Config) { c.RedirectURL = fmt.Sprintf("http://localhost:%d/cb", port) })
		opened := false
		err = f.session.Login(t.Context(), &LoginOptions{Open: func(context.Context, string) error { opened = true; return nil }})
		if err == nil || opened || !strings.Contains(err.Error(), "no listener") {
			t.Errorf("with a squatter at [%s]: %v, browser opened: %t", squatted, err, opened)
		}
	}
	t.Run("not before the browser", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		f := withoutPush(t, func(c *Config) { c.RedirectURL = "http://" + ln.Addr().String() + "/cb" })
		f.Inject(testserver.OnMetadata, testserver.Always, func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
				c.Close()
				t.Error("it listens while the metadata is read")
			}
			next(w, r)
		})
		waiting(t, f, func(string, string) {})
	})
}

// outsideAddrs returns addresses of this machine that others reach.
func outsideAddrs(t *testing.T) (addrs []string) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			addrs = append(addrs, ip.IP.String())
		}
	}
	return addrs
}

func TestRule093_only_a_plain_GET_of_the_callback_completes_a_login(t *testing.T) {
	f := withoutPush(t)
	waiting(t, f, func(redirect, authURL string) {
		u, _ := url.Parse(redirect)
		good := "state=" + url.QueryEscape(stateOf(t, authURL)) + "&iss=https%3A%2F%2Fauth.test&code=forged"
		for _, test := range []struct {
			method, target, host, headers string
			status                        int
		}{
			{"HEAD", "/callback?" + good, u.Host, "", 405},
			{"OPTIONS", "/callback?" + good, u.Host, "Origin: https://evil.test\r\nAccess-Control-Request-Method: GET\r\n", 405},
			{"POST", "/callback?" + good, u.Host, "", 405},
			{"PUT", "/callback?" + good, u.Host, "", 405},
			{"GET", "/callback?" + good, "evil.test:" + u.Port(), "", 421}, // DNS rebinding
			{"GET", "/callback?" + good, "evil.test", "", 421},
			{"GET", "/callback?" + good, "localhost:" + u.Port(), "", 421},
			{"GET", "/callback?" + good, "127.0.0.1", "", 421},
			{"GET", "/callback?" + good, "127.0.0.1.evil.test:" + u.Port(), "", 421},
			{"GET", "http://evil.test/callback?" + good, u.Host, "", 421},
			{"GET", "/callback/?" + good, u.Host, "", 404},
			{"GET", "/Callback?" + good, u.Host, "", 404},
			{"GET", "//callback?" + good, u.Host, "", 404},
			{"GET", "/favicon.ico?" + good, u.Host, "", 404},
			{"GET", "/?" + good, u.Host, "", 404},
			{"GET", "/callback?" + good + "&code=other", u.Host, "", 303},
			{"GET", "/callback?" + good + "&" + good, u.Host, "", 303},
			{"GET", "/callback?" + good + "&iss=x", u.Host, "", 303},
			{"GET", "/callback?" + good + "&error=x", u.Host, "", 303},
			{"GET", "/callback?%zz&" + good, u.Host, "", 303},
			{"GET", "/callback?a;b&" + good, u.Host, "", 303},
			{"GET", "/callback", u.Host, "", 303},
			{"GET", "/callback?" + good + "&x=" + strings.Repeat("x", 100_000), u.Host, "", 431},
			{"GET", "/callback?" + good, u.Host, "X: " + strings.Repeat("x", 100_000) + "\r\n", 431},
		} {
			resp := sendRaw(t, u.Host, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", test.method, test.target, test.host, test.headers))
			if resp.StatusCode != test.status || resp.StatusCode == 303 && resp.Header.Get("Location") != string(endedBadly) {
				t.Errorf("%s %.60s for %s: %d to %q, want %d", test.method, test.target, test.host, resp.StatusCode, resp.Header.Get("Location"), test.status)
			}
			for name := range resp.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %.60s: has %s", test.method, test.target, name)
				}
			}
		}
		slow, err := net.Dial("tcp", u.Host) // and never a second byte
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { slow.Close() })
		io.WriteString(slow, "G")
	})
	if n := f.Log().TokenRequests(); n != 1 {
		t.Errorf("%d token requests, want that of the right answer", n)
	}
	l := &loopbackServer{}
	l.serve(&pending{})
	if l.server.ReadHeaderTimeout != callbackTimeout || l.server.ReadTimeout != callbackTimeout || l.server.MaxHeaderBytes > 64<<10 {
		t.Errorf("slow requests: %v, %v, %d", l.server.ReadHeaderTimeout, l.server.ReadTimeout, l.server.MaxHeaderBytes)
	}
}

// sendRaw sends a request as it is and returns the answer.
func sendRaw(t *testing.T, addr, request string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(c, request)
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	resp.Body.Close()
	return resp
}

func TestRule094_the_page_is_static_and_shows_nothing_of_the_request(t *testing.T) {
	f := withoutPush(t)
	pages := make(map[string]string)
	waiting(t, f, func(r, authURL string) {
		base := strings.TrimSuffix(r, "/callback")
		state := url.QueryEscape(stateOf(t, authURL))
		for _, query := range []string{
			"state=" + state + "&code=%3Cscript%3Ecanary%3C/script%3E&error=%3Cscript%3Ecanary%3C/script%3E",
			"state=%3Cscript%3Ecanary%3C/script%3E&error=access_denied&error_description=%3Cscript%3Ecanary%3C/script%3E&error_uri=javascript:canary",
			"<script>canary</script>", "canary=%00%0d%0aX-Canary:%20canary",
		} {
			resp, err := http.Get(r + "?" + query)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if bytes.Contains(text, []byte("canary")) || strings.Contains(fmt.Sprint(resp.Header), "anary") || resp.Request.URL.String() != base+string(endedBadly) {
				t.Errorf("%q led to %s: %s", query, resp.Request.URL, text)
			}
		}
		for e := range endings {
			first, second := getPage(t, base+string(e)), getPage(t, base+string(e)+"?canary=<script>canary</script>#canary")
			if first != second {
				t.Errorf("%s is not always the same", e)
			}
			pages[string(e)] = first
		}
	})
	for name, page := range pages {
		if n := len(page); n > 8<<10 || regexp.MustCompile(`(?i)<script|\bon[a-z]+=|javascript:|(src|href)="?(https?:)?//|@import|url\(|\{\{`).MatchString(page) {
			t.Errorf("%s has %d bytes, or something in it that runs or is fetched:\n%s", name, n, page)
		}
		style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
		sum := sha256.Sum256([]byte(style[1]))
		if !strings.Contains(pagePolicy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("%s: its style is not the one of the policy", name)
		}
	}
	for _, serve := range []func(http.ResponseWriter){
		func(w http.ResponseWriter) { servePage(w, endedWell) },
		func(w http.ResponseWriter) { redirectToPage(w, endedWell) },
	} {
		w := httptest.NewRecorder()
		serve(w)
		for name, want := range map[string]string{
			"Content-Security-Policy": pagePolicy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
	if !strings.HasPrefix(pagePolicy, "default-src 'none';") || strings.Contains(pagePolicy, "unsafe") || strings.Contains(pagePolicy, "script") {
		t.Errorf("the policy is %s", pagePolicy)
	}
}

func getPage(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", url, resp.StatusCode, err)
	}
	return string(text)
}
