// Package oidcprovider runs oidc-provider, an OpenID provider in JavaScript that is
// certified by the OpenID Foundation, as a process of its own.
package oidcprovider

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

//go:embed package.json package-lock.json server.mjs
var files embed.FS

// A Client is registered at the server, with the names of RFC 7591 §2.
type Client struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret,omitempty"`
	Auth   string `json:"token_endpoint_auth_method"`
	Alg    string `json:"token_endpoint_auth_signing_alg,omitempty"`
	Keys   any    `json:"jwks,omitempty"`
	Push   bool   `json:"require_pushed_authorization_requests,omitempty"`
	DPoP   bool   `json:"dpop_bound_access_tokens,omitempty"`
}

// A Config says what the server is told about its surroundings.
type Config struct {
	Issuer         string   // the URL of what stands before it
	RedirectURIs   []string // of all clients
	Resources      []string // RFC 8707
	Clients        []Client
	AccessLifetime int // in seconds
}

// checker is the client that asks about tokens.
var checker = Client{ID: "checker", Secret: "checker-secret", Auth: "client_secret_basic"}

// A Server is a running process. It is safe for concurrent use.
type Server struct {
	proxy *httputil.ReverseProxy
	base  string
	cmd   *exec.Cmd

	bound sync.Map // the thumbprints of keys by the tokens that are bound to them

	mu    sync.Mutex // guards the conversation with the process
	stdin io.WriteCloser
	lines *bufio.Scanner
}

// Start installs the server, once for each version of it, and starts it. node and npm
// have to be on the PATH.
func Start(cfg Config) (*Server, error) {
	dir, err := install()
	if err != nil {
		return nil, fmt.Errorf("oidcprovider: install: %w", err)
	}
	text := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	s := &Server{cmd: exec.Command("node", "server.mjs")}
	s.cmd.Dir, s.cmd.Stderr = dir, withoutWarnings{}
	s.cmd.Env = append(os.Environ(),
		"NODE_NO_WARNINGS=1",
		"ISSUER="+cfg.Issuer,
		"REDIRECT_URIS="+text(cfg.RedirectURIs),
		"RESOURCES="+strings.Join(cfg.Resources, " "),
		"CLIENTS="+text(append(cfg.Clients, checker)),
		fmt.Sprint("ACCESS_TTL=", cfg.AccessLifetime),
	)
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.lines = bufio.NewScanner(stdout)
	for s.lines.Scan() { // it greets, too
		if port, ok := strings.CutPrefix(s.lines.Text(), "ready "); ok {
			s.base = "http://127.0.0.1:" + port
			s.proxy = &httputil.ReverseProxy{Rewrite: s.rewrite}
			return s, nil
		}
	}
	s.Close()
	return nil, errors.New("oidcprovider: it ended before it was ready")
}

// rewrite sends a request on. The front has read the form of a token request.
func (s *Server) rewrite(r *httputil.ProxyRequest) {
	to, _ := url.Parse(s.base)
	r.SetURL(to)
	r.Out.Host = r.In.Host // its URLs are made of it
	if r.In.PostForm != nil {
		body := r.In.PostForm.Encode()
		r.Out.Body, r.Out.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		r.Out.TransferEncoding = nil
	}
}

// ServeHTTP serves the endpoints.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.proxy.ServeHTTP(w, r) }

// KeepRefreshTokens makes refreshes, from now on, leave the refresh token as it is, as
// servers do that don't rotate; or ends that.
func (s *Server) KeepRefreshTokens(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := "rotate\n"
	if on {
		line = "keep\n"
	}
	io.WriteString(s.stdin, line)
	s.lines.Scan()
}

// Check returns the account and the scope of an access token, or what is wrong with it
// (RFC 7662).
func (s *Server) Check(ctx context.Context, token string) (account, scope, fault string) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/token/introspection", strings.NewReader(form.Encode()))
	if err != nil {
		return "", "", err.Error()
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(checker.ID, checker.Secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", "", "the server can't be asked"
	}
	defer resp.Body.Close()
	var is struct {
		Active          bool
		Sub, Scope, Aud string
		ClientID        string `json:"client_id"`
		Cnf             struct{ JKT string }
	}
	if json.NewDecoder(resp.Body).Decode(&is) != nil || !is.Active {
		return "", "", "invalid_token"
	}
	if is.Sub == "" { // of client credentials
		is.Sub = is.ClientID
	}
	if is.Cnf.JKT != "" {
		s.bound.Store(token, is.Cnf.JKT)
	}
	return is.Sub, is.Scope, ""
}

// Bound returns the thumbprint of the key to which a token is bound that was checked
// (RFC 9449 §6), or "".
func (s *Server) Bound(token string) string {
	jkt, _ := s.bound.Load(token)
	text, _ := jkt.(string)
	return text
}

// withoutWarnings is os.Stderr, without what the server says of a server in production.
type withoutWarnings struct{}

func (withoutWarnings) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("oidc-provider WARNING: ")) {
		return len(p), nil
	}
	return os.Stderr.Write(p)
}

// Close ends the process.
func (s *Server) Close() error {
	s.stdin.Close() // it ends with it
	return s.cmd.Wait()
}

// install returns the directory with the server and all that it needs.
func install() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "freshet-interop")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	sum := sha256.New()
	names := []string{"package.json", "package-lock.json", "server.mjs"}
	for _, name := range names {
		b, err := files.ReadFile(name)
		if err != nil {
			return "", err
		}
		sum.Write(b)
	}
	dir := filepath.Join(cache, hex.EncodeToString(sum.Sum(nil)[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	temp, err := os.MkdirTemp(cache, "new-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	for _, name := range names {
		b, _ := files.ReadFile(name)
		if err := os.WriteFile(filepath.Join(temp, name), b, 0o600); err != nil {
			return "", err
		}
	}
	npm := exec.Command("npm", "ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
	npm.Dir = temp
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if err := os.Rename(temp, dir); err != nil {
		if _, there := os.Stat(dir); there == nil {
			return dir, nil // another process was first
		}
		return "", err
	}
	return dir, nil
}
