package testserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// An Echo is the JSON that the API answers: the request as it arrived, and
// whose it was. It has no token.
type Echo struct {
	Method     string `json:"method"`
	Host       string `json:"host"`
	Path       string `json:"path"`
	Query      string `json:"query,omitempty"`
	Account    string `json:"account"`
	Scope      string `json:"scope"`
	BodyLength int64  `json:"body_length"`
	BodySHA256 string `json:"body_sha256"` // in hex
}

// serveAPI answers an [Echo] to a request with a good access token, else 401.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	x, p := exchangeOf(r), s.policy.Load()
	e := Echo{Method: r.Method, Host: x.origin.host, Path: r.URL.Path, Query: r.URL.RawQuery}
	challenge := s.checkToken(w, x, p, r, &e)
	if challenge != "" && p.EarlyReject {
		http.NewResponseController(w).EnableFullDuplex() // answer before the body is read
		reject(w, challenge)
		return
	}
	if !x.readBody(r, &e) {
		panic(http.ErrAbortHandler)
	}
	x.sleep(p.APILatency)
	if challenge != "" {
		reject(w, challenge)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	json.NewEncoder(w).Encode(e)
}

// checkToken puts the token's account and scope into e, or returns the
// challenge of the 401 (RFC 6750 §3, RFC 9449 §7.1).
func (s *Server) checkToken(w http.ResponseWriter, x *exchange, p *Policy, r *http.Request, e *Echo) (challenge string) {
	scheme, token := authorization(r)
	if scheme != "bearer" && scheme != "dpop" || len(r.Header.Values("Authorization")) > 1 {
		return `Bearer realm="api"`
	}
	name := map[string]string{"bearer": "Bearer", "dpop": "DPoP"}[scheme]
	nonce, previous := s.nonces(p, API)
	if nonce != "" && scheme == "dpop" {
		w.Header().Set("DPoP-Nonce", nonce)
	}
	account, scope, fault := s.checkAccess(r.Context(), x.origin, token)
	e.Account, e.Scope = account, scope
	code := "invalid_token"
	if fault == "" {
		if err := x.checkBound(r, scheme, token, nonce, previous); err != nil {
			code, fault = err.code, err.description
		}
	}
	x.note(func(e *Entry) {
		e.Account = account
		if fault != "" {
			e.Error = code
		}
	})
	if fault != "" {
		return fmt.Sprintf(`%s realm="api", error="%s", error_description="%s"`, name, code, fault)
	}
	return ""
}

func reject(w http.ResponseWriter, challenges ...string) {
	for _, c := range challenges {
		w.Header().Add("WWW-Authenticate", c)
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, `{"error":"unauthorized"}`+"\n")
}

// maxForm is how much of a form the API looks into for tokens.
const maxForm = 1 << 16

// readBody reads the body to its end and reports whether it got there.
func (x *exchange) readBody(r *http.Request, e *Echo) bool {
	hash, form := sha256.New(), &limitedBuffer{left: maxForm}
	n, err := io.Copy(io.MultiWriter(hash, form), r.Body)
	e.BodyLength, e.BodySHA256 = n, hex.EncodeToString(hash.Sum(nil))
	if r.Header.Get("Content-Type") == formType {
		r.PostForm, _ = url.ParseQuery(form.String())
		x.foundTokens(x.server.findTokens(r))
	}
	return err == nil
}

// foundTokens notes tokens that were found after the entry was made.
func (x *exchange) foundTokens(tokens []string) {
	x.server.log.change(func(c *counts) {
		more := len(tokens) - len(x.entry.Tokens)
		x.entry.Tokens = tokens
		c.sawTokens(x.entry, more)
	})
}

// A limitedBuffer keeps the beginning of what is written.
type limitedBuffer struct {
	bytes.Buffer
	left int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.Buffer.Write(p[:n])
	return len(p), nil
}
