package fositeserver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"

	"github.com/ory/fosite"
)

// Password is everybody's. A person's name is the account.
const Password = "correct horse"

var page = template.Must(template.New("").Parse(`<!doctype html><title>Sign in</title>
<form method="post" action="` + loginPath + `">
<p>{{.Client}} wants: {{.Scope}}</p>
<input type="hidden" name="id" value="{{.ID}}">
<input name="username"><input name="password" type="password">
<button name="action" value="allow">Allow</button>
</form>`))

// authorize is the authorization endpoint: it shows the page for login and consent.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	req, err := s.oauth.NewAuthorizeRequest(r.Context(), r)
	if err != nil {
		s.oauth.WriteAuthorizeError(r.Context(), w, req, err)
		return
	}
	id := rand.Text()
	s.logins.Store(id, req)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page.Execute(w, map[string]string{
		"ID": id, "Client": req.GetClient().GetID(), "Scope": strings.Join(req.GetRequestedScopes(), " "),
	})
}

// login takes the page's form, and sends the person to the redirect URI.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	found, ok := s.logins.LoadAndDelete(r.PostFormValue("id"))
	if !ok || r.PostFormValue("password") != Password || r.PostFormValue("action") != "allow" {
		http.Error(w, "no such login, or a wrong password", http.StatusForbidden)
		return
	}
	req := found.(fosite.AuthorizeRequester)
	grantAll(req)
	resp, err := s.oauth.NewAuthorizeResponse(ctx, req, s.session(r.PostFormValue("username")))
	if err != nil {
		s.oauth.WriteAuthorizeError(ctx, w, req, err)
		return
	}
	s.oauth.WriteAuthorizeResponse(ctx, w, req, resp)
}

func grantAll(req fosite.Requester) {
	for _, scope := range req.GetRequestedScopes() {
		req.GrantScope(scope)
	}
}

// token is the token endpoint.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	ctx := s.store.decide(r.Context(), r.PostFormValue("grant_type"))
	req, err := s.oauth.NewAccessRequest(ctx, r, s.session(""))
	if err != nil {
		s.oauth.WriteAccessError(ctx, w, req, err)
		return
	}
	if !req.GetGrantTypes().ExactOne("refresh_token") && !req.GetGrantTypes().ExactOne("authorization_code") {
		grantAll(req)
	}
	resp, err := s.oauth.NewAccessResponse(ctx, req)
	if err != nil {
		s.oauth.WriteAccessError(ctx, w, req, err)
		return
	}
	if keeping(ctx) {
		resp.SetExtra("refresh_token", nil)
	}
	s.oauth.WriteAccessResponse(ctx, w, req, resp)
}

// push is the pushed authorization request endpoint (RFC 9126).
func (s *Server) push(w http.ResponseWriter, r *http.Request) {
	req, err := s.oauth.NewPushedAuthorizeRequest(r.Context(), r)
	if err != nil {
		s.oauth.WritePushedAuthorizeError(r.Context(), w, req, err)
		return
	}
	resp, err := s.oauth.NewPushedAuthorizeResponse(r.Context(), req, s.session(""))
	if err != nil {
		s.oauth.WritePushedAuthorizeError(r.Context(), w, req, err)
		return
	}
	s.oauth.WritePushedAuthorizeResponse(r.Context(), w, req, resp)
}

// metadata is what the server says of itself: fosite has no such handler.
func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"issuer":                                s.issuer,
		"authorization_endpoint":                s.issuer + AuthPath,
		"token_endpoint":                        s.issuer + TokenPath,
		"revocation_endpoint":                   s.issuer + RevokePath,
		"pushed_authorization_request_endpoint": s.issuer + PushPath,
		"response_types_supported":              []string{"code"},
		"code_challenge_methods_supported":      []string{"S256"},
	})
}

// revoke is the revocation endpoint (RFC 7009).
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	s.oauth.WriteRevocationResponse(r.Context(), w, s.oauth.NewRevocationRequest(r.Context(), r))
}

// Check returns the account and the scope of an access token, or what is wrong
// with it.
func (s *Server) Check(ctx context.Context, token string) (account, scope, fault string) {
	_, req, err := s.oauth.IntrospectToken(ctx, token, fosite.AccessToken, s.session(""))
	if err != nil {
		return "", "", fosite.ErrorToRFC6749Error(err).ErrorField
	}
	return req.GetSession().GetSubject(), strings.Join(req.GetGrantedScopes(), " "), ""
}
