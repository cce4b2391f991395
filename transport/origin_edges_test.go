package transport

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What net/http would send, or resolve, otherwise than it looks gets no token.
func TestVerdict_of_odd_requests(t *testing.T) {
	listed, open := mustOrigins(t, []string{"https://a.example"}, nil), mustOrigins(t, nil, nil)
	for name, req := range map[string]*http.Request{
		"another host in Opaque":   {URL: &url.URL{Scheme: "https", Host: "a.example", Opaque: "//b.example/1"}},
		"no host in Opaque":        {URL: &url.URL{Scheme: "https", Host: "a.example", Opaque: "///b.example/1"}},
		"a longer host in Opaque":  {URL: &url.URL{Scheme: "https", Host: "a.example", Opaque: "//a.example.evil/1"}},
		"brackets around no addr.": {URL: &url.URL{Scheme: "https", Host: "[abc]"}},
		"brackets around IPv4":     {URL: &url.URL{Scheme: "https", Host: "[127.0.0.1]"}},
		"a name with a colon":      {URL: &url.URL{Scheme: "https", Host: "a:b:c"}},
	} {
		for _, o := range []*origins{listed, open} {
			if v, err := o.verdict(req); v != bare || err != nil {
				t.Errorf("%s: %d, %v; want no token", name, v, err)
			}
		}
	}
	ok := &http.Request{URL: &url.URL{Scheme: "https", Host: "a.example", Opaque: "//a.example/1"}}
	if v, err := listed.verdict(ok); v != attach || err != nil {
		t.Errorf("the same host in Opaque: %d, %v; want a token", v, err)
	}
	if err := checkURL(&http.Request{URL: &url.URL{Scheme: "https", Host: "@a.example"}}); err != errUserinfo {
		t.Errorf("userinfo that is empty: %v", err)
	}
}

// A redirect chain has left the origin also where only its Host header, or only
// its address, was another.
func TestVerdict_chain_with_Host_headers(t *testing.T) {
	const a, b = "https://a.example/", "https://b.example/"
	for name, test := range map[string]struct{ url, host string }{
		"another address, with our Host": {b, "a.example"},
		"our address, with another Host": {a, "b.example"},
		"another address":                {b, ""},
		"a Host that is none":            {a, "/"},
	} {
		req := chain(t, a, test.url, a)
		if test.host != "" {
			req.Response.Request.Host = test.host
		}
		if v, err := mustOrigins(t, nil, nil).verdict(req); v != bare || err != nil {
			t.Errorf("%s: %d, %v; want no token", name, v, err)
		}
	}
}

func TestLowerASCII(t *testing.T) {
	for b := range 256 {
		want := byte(b)
		if b >= 'A' && b <= 'Z' {
			want += 'a' - 'A'
		}
		for _, around := range []string{"", "A", "z"} {
			got := lowerASCII(around + string([]byte{byte(b)}))
			if got != strings.ToLower(around)+string([]byte{want}) {
				t.Errorf("lowerASCII(%q) = %q", around+string([]byte{byte(b)}), got)
			}
		}
	}
}

// Who names this machine is told how to spell it; nobody else is.
func TestLoopbackHint(t *testing.T) {
	for host, want := range map[string]string{"localhost:8080": ", or write http://127.0.0.1:8080", "api.example:8080": ""} {
		_, err := mustOrigins(t, nil, nil).verdict(chain(t, "http://"+host+"/"))
		if err == nil || !strings.HasSuffix(err.Error(), "DangerouslyAllowHTTP"+want) {
			t.Errorf("%s: %v, want it to end with %q", host, err, want)
		}
	}
}
