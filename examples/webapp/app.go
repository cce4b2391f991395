package main

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"html/template"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/transport"
)

//go:embed pages
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages/*.html"))

// An app is the application: one client for all users, and what each browser is doing.
type app struct {
	client *client.Client
	http   *http.Client // sends requests for the user in their context
	api    string

	mu       sync.Mutex // guards browsers
	browsers map[string]*browser
}

// A browser is what is kept of one. It never changes; another one takes its place. A real
// application keeps it in its database: a Login becomes text by MarshalText.
type browser struct {
	login   *client.Login // under way
	account string        // who is signed in
}

func newApp(c *client.Client, api string) *app {
	return &app{client: c, http: c.Session("").HTTPClient(), api: api, browsers: make(map[string]*browser)}
}

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("GET /callback", a.callback)
	mux.HandleFunc("POST /logout", a.logout)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "pages/style.css") })
	return http.NewCrossOriginProtection().Handler(mux) // no other site signs a user in or out
}

// home shows who is signed in, and what the API says to that.
func (a *app) home(w http.ResponseWriter, r *http.Request) {
	b := a.of(r)
	if b.account == "" {
		show(w, http.StatusOK, page{})
		return
	}
	answer, err := a.call(r.Context(), b.account)
	switch {
	case errors.Is(err, client.ErrLoginRequired):
		show(w, http.StatusOK, page{Notice: "Your session has ended. Please sign in again."})
	case err != nil:
		log.Print(err)
		show(w, http.StatusBadGateway, page{Account: b.account, Notice: "The API can't be reached just now. You are still signed in."})
	default:
		show(w, http.StatusOK, page{Account: b.account, Answer: answer})
	}
}

// call calls the API for a user.
func (a *app) call(ctx context.Context, account string) (string, error) {
	ctx = client.WithSession(ctx, a.client.Session(account))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.api, nil)
	if err != nil {
		return "", err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if err := transport.RefreshErrorOf(resp); err != nil { // a 401, and this is why
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.Status + "\n" + strings.ReplaceAll(string(text), `,"`, ",\n \""), err
}

// login sends the browser to the server.
func (a *app) login(w http.ResponseWriter, r *http.Request) {
	login, err := a.client.BeginLogin(r.Context(), nil)
	if err != nil {
		log.Print(err)
		show(w, http.StatusBadGateway, page{Notice: "Signing in is not possible just now. Please try again later."})
		return
	}
	a.remember(w, r, &browser{login: login, account: a.of(r).account})
	http.Redirect(w, r, login.URL(), http.StatusSeeOther)
}

// callback takes the browser back from the server.
func (a *app) callback(w http.ResponseWriter, r *http.Request) {
	session, err := a.client.FinishLogin(r.Context(), a.of(r).login, r.URL.Query())
	switch {
	case err == nil:
		a.remember(w, r, &browser{account: session.Account()})
		http.Redirect(w, r, "/", http.StatusSeeOther) // the code leaves the address bar
	case errors.Is(err, client.ErrLoginUsed):
		http.Redirect(w, r, "/", http.StatusSeeOther) // the page was loaded again
	case errors.Is(err, client.ErrAccessDenied):
		show(w, http.StatusForbidden, page{Notice: "You did not give access, so you are not signed in."})
	case errors.Is(err, client.ErrLoginExpired):
		show(w, http.StatusBadRequest, page{Notice: "That took too long. Please sign in again."})
	default:
		log.Print(err)
		show(w, http.StatusBadRequest, page{Notice: "Signing in did not work. Please try again."})
	}
}

// logout signs the user out, here and at the server.
func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	if account := a.of(r).account; account != "" {
		if err := a.client.Session(account).Logout(r.Context()); err != nil {
			log.Print(err) // signed out here all the same
		}
	}
	a.remember(w, r, nil)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

const cookieName = "webapp"

// of returns what is known of the browser that sends r.
func (a *app) of(r *http.Request) *browser {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, err := r.Cookie(cookieName); err == nil && a.browsers[c.Value] != nil {
		return a.browsers[c.Value]
	}
	return new(browser)
}

// remember keeps b for the browser that sends r, under a new name: one that somebody may
// have put into the browser before is worth nothing after a login.
func (a *app) remember(w http.ResponseWriter, r *http.Request, b *browser) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, err := r.Cookie(cookieName); err == nil {
		delete(a.browsers, c.Value)
	}
	cookie := http.Cookie{Name: cookieName, Path: "/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode, MaxAge: -1}
	if b != nil {
		cookie.Value, cookie.MaxAge = rand.Text(), 0
		a.browsers[cookie.Value] = b
	}
	http.SetCookie(w, &cookie)
}

// A page is what the page shows.
type page struct{ Account, Answer, Notice string }

func show(w http.ResponseWriter, status int, p page) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, "home.html", p); err != nil {
		log.Print(err)
	}
}
