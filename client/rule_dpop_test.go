package client

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

// bound is the change that binds tokens to keys.
func bound(c *Config) { c.DPoP = &DPoP{} }

// demanding makes the server want proofs, and nonces in them.
func (f *fixture) demanding() {
	f.UpdatePolicy(func(p *testserver.Policy) { p.DPoP, p.DPoPNonce = true, true })
}

// signInAlice has alice sign in.
func (f *fixture) signInAlice(t *testing.T) {
	t.Helper()
	login := f.begin(t, &LoginOptions{Account: "alice"})
	if _, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice)); err != nil {
		t.Fatal(err)
	}
}

// A seenProof is a proof as it came.
type seenProof struct {
	testserver.Proof
	entry testserver.Entry
}

// proofs returns all that came, read by code that did not make them, and each checked for
// its signature and its id.
func (f *fixture) proofs(t *testing.T) (list []seenProof) {
	t.Helper()
	seen := make(map[string]bool)
	for _, e := range f.Log().Entries() {
		for _, text := range e.Header.Values("DPoP") {
			p, err := testserver.ReadProof(text)
			if err != nil || seen[p.ID] || len(p.ID) < 16 {
				t.Errorf("%v has a bad proof: %v, %+v", e, err, p)
			}
			seen[p.ID] = true
			list = append(list, seenProof{p, e})
		}
	}
	return list
}

func TestRule105_every_attempt_has_a_proof_of_its_own(t *testing.T) {
	rsaK, p384, ed := rsaKey(t), ecKey(t, elliptic.P384()), edKey(t)
	for name, d := range map[string]DPoP{
		"default": {}, "ES384": {Algorithm: "ES384"}, "ES512": {Algorithm: "ES512"}, "EdDSA": {Algorithm: "EdDSA"}, "RS256": {Algorithm: "RS256"}, "PS256": {Algorithm: "PS256"},
		"own RSA": {Key: rsaK}, "own PSS": {Key: rsaK, Algorithm: "PS256"}, "hardware": {Key: hardwareKey{p384}}, "own Ed25519": {Key: ed},
	} {
		t.Run(name, func(t *testing.T) {
			f := newLogins(t, func(c *Config) { c.DPoP = &d })
			f.demanding()
			f.signInAlice(t)
			hc := f.session.HTTPClient()
			for _, url := range []string{f.APIURL("/a?b=c#d"), f.APIURL("/%7Ea/%2F?x"), "https://API.test:443/port", "https://api.test"} {
				resp, err := hc.Post(url, "text/plain", strings.NewReader("body"))
				if err != nil || resp.StatusCode != 200 {
					t.Fatal(resp, err)
				}
				resp.Body.Close()
			}
			f.RevokeAllAccess()
			f.wantCall(t, f.session, "alice")
			f.wantProofs(t)
		})
	}
	t.Run("redirects", testProofOfRedirect)
}

// wantProofs checks that every request to the token endpoint and the API had a proof that
// is for it and for nothing else, all of one key.
func (f *fixture) wantProofs(t *testing.T) {
	t.Helper()
	list := f.proofs(t)
	needed := f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.Token || e.Endpoint == testserver.API })
	if len(list) != len(needed) || len(list) < 4 {
		t.Errorf("%d proofs, %d requests that need one", len(list), len(needed))
	}
	for _, p := range list {
		ath := ""
		if p.entry.Endpoint == testserver.API {
			sum := sha256.Sum256([]byte(p.entry.AccessToken))
			ath = base64.RawURLEncoding.EncodeToString(sum[:])
			if auth := p.entry.Header["Authorization"]; len(auth) != 1 || auth[0] != "DPoP "+p.entry.AccessToken {
				t.Errorf("the token went as %q", auth)
			}
		}
		htu := p.entry.Scheme + "://" + p.entry.Host + p.entry.Path
		if strings.ContainsAny(p.URL, "?#") || p.Method != p.entry.Method || p.Token != ath || !strings.HasPrefix(p.URL, p.entry.Scheme+"://"+p.entry.Host+"/") ||
			!strings.Contains(p.URL, "%") && p.URL != htu || p.Issued.Sub(p.entry.Time).Abs() > 2*time.Second {
			t.Errorf("the proof for %v has %+v", p.entry, p.Proof)
		}
		if p.Thumbprint != list[0].Thumbprint {
			t.Errorf("%v is proved by another key", p.entry)
		}
	}
}

// The proof for where a redirect leads is for there.
func testProofOfRedirect(t *testing.T) {
	f := newLogins(t, bound)
	f.demanding()
	f.signInAlice(t)
	f.Inject(testserver.Match{Endpoint: testserver.API, Path: "/old"}, 1, testserver.Redirect(307, f.APIURL("/new?x=1")))
	resp, err := f.session.HTTPClient().Post(f.APIURL("/old"), "text/plain", strings.NewReader("body"))
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	list := f.proofs(t)
	if last := list[len(list)-1]; last.URL != f.APIURL("/new") {
		t.Errorf("the proof for the new place is for %s", last.URL)
	}
}

func TestRule106_a_nonce_demand_is_one_retry_with_the_same_token(t *testing.T) {
	count := func(f *fixture, endpoint testserver.Endpoint) int {
		return len(f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == endpoint }))
	}
	t.Run("both ends", func(t *testing.T) {
		f := newLogins(t, bound)
		f.demanding()
		f.signInAlice(t)
		f.wantCall(t, f.session, "alice")
		if n, api := f.Log().TokenRequests(), count(f, testserver.API); n != 2 || api != 2 {
			t.Errorf("%d token requests and %d to the API, want 2 and 2: a demand and an answer each", n, api)
		}
		f.wantCall(t, f.session, "alice") // with the nonce of the answer before
		f.RotateNonces()
		f.wantCall(t, f.session, "alice")
		if n, api := f.Log().Refreshes(), count(f, testserver.API); n != 0 || api != 5 {
			t.Errorf("%d refreshes and %d requests, want none and 5", n, api)
		}
		f.RevokeAllAccess()
		f.RotateNonces()
		f.wantCall(t, f.session, "alice")
		if n := f.Log().Refreshes(); n != 1 {
			t.Errorf("%d refreshes, want 1", n)
		}
		nonces := make(map[string]testserver.Endpoint)
		for _, p := range f.proofs(t) {
			if other, found := nonces[p.Nonce]; found && p.Nonce != "" && other != p.entry.Endpoint {
				t.Errorf("a nonce of %s went to %s", other, p.entry.Endpoint)
			}
			nonces[p.Nonce] = p.entry.Endpoint
		}
	})
	t.Run("any case, and not for ever", func(t *testing.T) {
		f := newLogins(t, bound)
		f.signInAlice(t)
		var n atomic.Int32
		f.Inject(testserver.OnAPI, testserver.Always, func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("DPoP-Nonce", fmt.Sprint("nonce-", n.Add(1)))
			testserver.Unauthorized(`dPoP error="use_dpop_nonce"`)(w, r, next)
		})
		resp, err := f.session.HTTPClient().Get(f.APIURL("/"))
		if err != nil || resp.StatusCode != 401 {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
		if n := n.Load(); n != 2 || f.Log().Refreshes() != 0 {
			t.Errorf("sent %d times, %d refreshes, want 2 and none", n, f.Log().Refreshes())
		}
	})
	t.Run("three at most", func(t *testing.T) {
		f := newLogins(t, bound)
		f.signInAlice(t)
		var n atomic.Int32
		f.Inject(testserver.OnAPI, testserver.Always, func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("DPoP-Nonce", fmt.Sprint("nonce-", n.Add(1)))
			what := `DPoP error="use_dpop_nonce"`
			if n.Load() == 2 {
				what = `DPoP error="invalid_token"`
			}
			testserver.Unauthorized(what)(w, r, next)
		})
		resp, err := f.session.HTTPClient().Post(f.APIURL("/"), "text/plain", strings.NewReader("body"))
		if err != nil || resp.StatusCode != 401 {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
		if n := n.Load(); n != maxSends || f.Log().Refreshes() != 1 {
			t.Errorf("sent %d times, %d refreshes", n, f.Log().Refreshes())
		}
	})
	t.Run("bodies", func(t *testing.T) {
		f := newLogins(t, bound)
		f.demanding()
		f.signInAlice(t)
		hc := f.session.HTTPClient()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", f.APIURL("/"), io.NopCloser(strings.NewReader("stream")))
		for _, want := range []int{401, 200} { // the next request has the nonce
			resp, err := hc.Do(req)
			if err != nil || resp.StatusCode != want {
				t.Fatal(resp, err)
			}
			resp.Body.Close()
			req.Body = io.NopCloser(strings.NewReader("stream"))
		}
		f.RotateNonces()
		body := strings.Repeat("x", 1<<20)
		resp, err := hc.Post(f.APIURL("/"), "text/plain", strings.NewReader(body))
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		defer resp.Body.Close()
		if text, _ := io.ReadAll(resp.Body); !bytes.Contains(text, []byte(`"body_length":1048576`)) {
			t.Errorf("the API got %s", text)
		}
	})
	t.Run("of a 200, and none again", func(t *testing.T) {
		f := newLogins(t, bound)
		f.signInAlice(t)
		says := func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			w.Header().Set("DPoP-Nonce", "the-same")
			next(w, r)
		}
		f.Inject(testserver.OnAPI, 1, says)
		f.wantCall(t, f.session, "alice")
		f.wantCall(t, f.session, "alice")
		list := f.proofs(t)
		if got := list[len(list)-1].Nonce; got != "the-same" {
			t.Errorf("after an answer with a nonce, the proof has %q", got)
		}
		f.Inject(testserver.OnAPI, testserver.Always, func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			says(w, r, func(w http.ResponseWriter, r *http.Request) {
				testserver.Unauthorized(`DPoP error="use_dpop_nonce"`)(w, r, nil)
			})
		})
		before := count(f, testserver.API)
		if resp, err := f.session.HTTPClient().Get(f.APIURL("/")); err == nil {
			resp.Body.Close()
		}
		if n := count(f, testserver.API) - before; n != 1 {
			t.Errorf("sent %d times with the nonce that was refused", n)
		}
	})
	t.Run("token endpoint", func(t *testing.T) {
		f := newLogins(t, bound)
		var n atomic.Int32
		f.Inject(testserver.OnToken, testserver.Always, func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			w.Header().Set("DPoP-Nonce", fmt.Sprint("nonce-", n.Add(1)))
			testserver.OAuthError(400, "use_dpop_nonce", "")(w, r, nil)
		})
		login := f.begin(t, &LoginOptions{Account: "alice"})
		if _, err := f.client.FinishLogin(t.Context(), login, f.back(t, login, alice)); err == nil || n.Load() != 2 {
			t.Errorf("%v, asked %d times", err, n.Load())
		}
		if list := f.proofs(t); f.sent(t, testserver.Push).Get("dpop_jkt") != list[0].Thumbprint {
			t.Errorf("dpop_jkt is not that of the proof")
		}
	})
	t.Run("skew", testProofSkew)
	t.Run("bounds", testPeers)
}
