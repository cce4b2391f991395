package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/freshet-go/freshet/internal/testserver"
)

// logins are those whose secrets a server, or whoever calls the redirect URI, quotes.
func (s *story) logins() {
	s.backEnd(nil)
	s.device()
	for _, status := range []int{200, 400, 401, 500} {
		for _, at := range []testserver.Match{testserver.OnPush, testserver.OnToken, testserver.OnDevice, testserver.OnPoll} {
			s.Inject(at, testserver.Always, s.quoteForm(status))
			s.backEnd(nil)
			s.device()
			s.ClearFaults()
		}
	}
	quoted := url.QueryEscape(s.quote())
	for _, forged := range []string{"state", "iss", "code", "error", "error_description"} {
		s.backEnd(func(params url.Values) { params.Set(forged, params.Encode()+quoted) })
	}
	s.login()
}

// quoteForm answers with the secrets of the request, in every place for a text.
func (s *story) quoteForm(status int) testserver.Action {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		text := r.PostForm.Encode() + " " + r.Header.Get("Authorization")
		for _, secret := range []string{"code", "code_verifier", "device_code", "state", "nonce"} {
			s.remember(secret, r.FormValue(secret))
			text = r.FormValue(secret) + " " + text
		}
		body := fmt.Sprintf(`{"error":%q,"error_description":%[1]q,"error_uri":%[1]q,"request_uri":%[1]q,"verification_uri":%[1]q}`, text)
		testserver.Respond(status, http.Header{"Content-Type": {"application/json"}}, body)(w, r, nil)
	}
}

// backEnd is a login in a web back end, with what comes back changed.
func (s *story) backEnd(change func(url.Values)) {
	login, err := s.client.BeginLogin(s.t.Context(), &LoginOptions{Account: "alice", Nonce: true})
	s.say(err)
	s.say(fmt.Sprintf("%v %+v %#v", login, login, login)) // its text is for the program to keep
	if err != nil {
		return
	}
	s.remember("state", login.p.State)
	s.remember("code verifier", login.p.Verifier)
	s.remember("nonce", login.p.Nonce)
	params, err := s.Callback(s.t.Context(), testserver.Person{Account: "alice"}, login.URL())
	if err != nil {
		s.t.Fatal(err)
	}
	s.remember("code", params.Get("code"))
	if change != nil {
		change(params)
	}
	session, err := s.client.FinishLogin(s.t.Context(), login, params)
	s.say(err)
	s.say(session)
}

// device is a login on another device.
func (s *story) device() {
	s.say(s.session.LoginDevice(s.t.Context(), func(_ context.Context, p DevicePrompt) error {
		s.AnswerDevice(p.UserCode, "alice")
		return nil
	}))
}

// remember adds to what must not be shown.
func (s *story) remember(name, secret string) {
	if secret == "" {
		return
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.seen[fmt.Sprintf("%s %d", name, len(s.store.seen))] = strings.TrimSpace(secret)
}
