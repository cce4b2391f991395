package testserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

// The pages are for the people of tests and examples. They have no script, and show
// what a client wrote as text.
//
//go:embed pages
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{"style": style}).ParseFS(pageFiles, "pages/*.html"))

func style() (template.CSS, error) {
	b, err := pageFiles.ReadFile("pages/style.css")
	return template.CSS(b), err
}

type loginPage struct {
	Client, Account, Action string
	Wrong                   bool // the password was
}

type consentPage struct {
	Client, Account, Action string
	Scopes                  []string
	Code                    string // of a device
}

type codePage struct {
	Code, Action string
	Wrong        bool
}

type donePage struct{ Allowed bool }

type errorPage struct{ What string }

func (s *Server) showLogin(w http.ResponseWriter, p loginPage, status int) {
	show(w, "login.html", p, status, "")
}

// showConsent shows what a client asks for. after is the origin to which the answer
// leads.
func (s *Server) showConsent(w http.ResponseWriter, p consentPage, after string) {
	show(w, "consent.html", p, http.StatusOK, after)
}

func (s *Server) showCode(w http.ResponseWriter, p codePage) {
	show(w, "code.html", p, http.StatusOK, "")
}

func (s *Server) showDone(w http.ResponseWriter, p donePage) {
	show(w, "done.html", p, http.StatusOK, "")
}

func (s *Server) showError(w http.ResponseWriter, what string) {
	show(w, "error.html", errorPage{what}, http.StatusBadRequest, "")
}

func show(w http.ResponseWriter, name string, data any, status int, after string) {
	var b strings.Builder
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		panic(err)
	}
	secure(w.Header(), after)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(b.String()))
}

// secure sets what keeps a page to itself (RFC 9700 §4.16). Browsers hold the redirect
// after a form against form-action, so it has after, where that leads.
func secure(h http.Header, after string) {
	h.Set("Content-Security-Policy", strings.TrimSpace("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' "+after))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// loginCookie holds who is signed in at the server.
const loginCookie = "testserver_login"

// signIn checks a user's name and password.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request, p *Policy, form url.Values) {
	name, password := r.PostForm.Get("account"), r.PostForm.Get("password")
	want, known := p.Passwords[name]
	if name == "" || p.Passwords != nil && (!known || want != password) {
		s.showLogin(w, loginPage{Client: form.Get("client_id"), Account: name, Action: r.URL.RequestURI(), Wrong: true}, http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: loginCookie, Value: s.seal(name) + "." + url.QueryEscape(name), Path: "/",
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
	back := *r.URL
	query := back.Query()
	query.Set("signed_in", "1")
	back.RawQuery = query.Encode()
	secure(w.Header(), "")
	http.Redirect(w, r, back.RequestURI(), http.StatusSeeOther)
}

// signedIn returns the account that the browser is signed in with, or "".
func (s *Server) signedIn(r *http.Request) string {
	c, err := r.Cookie(loginCookie)
	if err != nil {
		return ""
	}
	mac, escaped, _ := strings.Cut(c.Value, ".")
	name, err := url.QueryUnescape(escaped)
	if err != nil || !hmac.Equal([]byte(mac), []byte(s.seal(name))) {
		return ""
	}
	return name
}

func (s *Server) seal(name string) string {
	mac := hmac.New(sha256.New, s.tokens.key)
	mac.Write([]byte(name))
	return hex.EncodeToString(mac.Sum(nil))
}
