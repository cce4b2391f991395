package client

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

// polls returns when the token endpoint was asked, in seconds from began.
func (f *fixture) polls(began time.Time) (at []float64) {
	for _, e := range f.Log().Select(func(e testserver.Entry) bool { return e.Endpoint == testserver.Token }) {
		at = append(at, e.Time.Sub(began).Seconds())
	}
	return at
}

// show is a prompt that does nothing.
func show(context.Context, DevicePrompt) error { return nil }

func TestRule097_a_device_is_polled_as_the_server_wants(t *testing.T) {
	pending := testserver.OAuthError(400, "authorization_pending", "")
	slow := testserver.OAuthError(400, "slow_down", "")
	type script []testserver.Action
	for name, test := range map[string]struct {
		interval string // "" is the server's own, 5
		expires  string
		answers  script // then the user has said yes
		at       []float64
		want     error
		kind     transport.Kind
	}{
		"at once":             {at: []float64{5}},
		"interval of its own": {interval: "2", answers: script{pending, pending}, at: []float64{2, 4, 6}},
		"no interval":         {interval: testserver.Omit, answers: script{pending}, at: []float64{5, 10}},
		"interval null":       {interval: "null", answers: script{pending}, at: []float64{5, 10}},
		"interval 0":          {interval: "0", answers: script{pending}, at: []float64{5, 10}},
		"interval text":       {interval: `"7"`, answers: script{pending}, at: []float64{7, 14}},
		"slow down":           {answers: script{pending, slow, pending, slow, pending}, at: []float64{5, 10, 20, 30, 45, 60}},
		"pending with 401":    {answers: script{testserver.OAuthError(401, "authorization_pending", "")}, at: []float64{5, 10}},
		"pending with 200":    {answers: script{testserver.OAuthError(200, "authorization_pending", "")}, at: []float64{5, 10}},
		"connection breaks":   {answers: script{testserver.Drop(), testserver.Drop(), pending}, at: []float64{5, 15, 35, 55}},
		"out of order":        {answers: script{testserver.Status(503), testserver.HTML(502)}, at: []float64{5, 15, 35}},
		"come later":          {answers: script{testserver.Status(429, "Retry-After", "60")}, at: []float64{5, 65}},
		"refused":             {answers: script{pending, testserver.OAuthError(400, "access_denied", "")}, at: []float64{5, 10}, want: ErrAccessDenied},
		"expired, it says":    {answers: script{testserver.OAuthError(400, "expired_token", "")}, at: []float64{5}, want: ErrLoginExpired},
		"expired":             {expires: "12", answers: script{pending, pending, pending}, at: []float64{5, 10}, want: ErrLoginExpired},
		"another error":       {answers: script{testserver.OAuthError(400, "invalid_client", "")}, at: []float64{5}, kind: transport.Misconfigured},
		"used code":           {answers: script{testserver.OAuthError(400, "invalid_grant", "")}, at: []float64{5}, kind: transport.LoginRequired},
		"unknown error":       {answers: script{testserver.OAuthError(400, "surprise", "")}, at: []float64{5}, kind: transport.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newLogins(t)
				f.UpdatePolicy(func(p *testserver.Policy) {
					p.Device = make(map[string]string)
					if test.interval != "" {
						p.Device["interval"], p.PollInterval = test.interval, time.Second
					}
					if test.expires != "" {
						p.Device["expires_in"] = test.expires
					}
				})
				for _, answer := range test.answers {
					f.Inject(testserver.OnPoll, 1, answer)
				}
				began := time.Now()
				err := f.session.LoginDevice(t.Context(), func(_ context.Context, p DevicePrompt) error {
					if !f.AnswerDevice(p.UserCode, "alice") {
						t.Errorf("the code %q is unknown", p.UserCode)
					}
					return nil
				})
				if got := f.polls(began); !slices.Equal(got, test.at) {
					t.Errorf("polled after %v s, want %v", got, test.at)
				}
				var re *transport.RefreshError
				switch {
				case test.want == nil && test.kind == 0 && name != "unknown error":
					if err != nil {
						t.Fatal(err)
					}
					f.wantCall(t, f.session, "alice")
				case test.want != nil:
					if !errors.Is(err, test.want) {
						t.Errorf("error %v, want %v", err, test.want)
					}
				case !errors.As(err, &re) || re.Kind != test.kind:
					t.Errorf("error %v, want one of kind %v", err, test.kind)
				}
				if test.want == ErrLoginExpired && test.expires != "" && time.Since(began) != 12*time.Second {
					t.Errorf("it ended after %v", time.Since(began))
				}
			})
		})
	}
	t.Run("left", testDeviceLeft)
}

// A caller that leaves ends the polling at once, and so does a prompt that fails; the
// prompt is waited for.
func testDeviceLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newLogins(t)
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		began, prompted := time.Now(), false
		err := f.session.LoginDevice(ctx, func(ctx context.Context, p DevicePrompt) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			prompted = true
			return ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) || !prompted || time.Since(began) != 8*time.Second {
			t.Errorf("%v after %v, prompt ended: %t", err, time.Since(began), prompted)
		}
		no := errors.New("no terminal")
		err = f.session.LoginDevice(t.Context(), func(context.Context, DevicePrompt) error { time.Sleep(6 * time.Second); return no })
		if n := len(f.polls(began)); !errors.Is(err, no) || n != 2 {
			t.Errorf("%v, %d polls", err, n)
		}
		err = f.session.LoginDevice(t.Context(), func(context.Context, DevicePrompt) error { panic("canary") })
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("after a panic: %v", err)
		}
		f.AnswerDevice("nothing", "alice")
		if err := f.session.LoginDevice(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "prompt is nil") {
			t.Errorf("without a prompt: %v", err)
		}
	})
}

func TestRule098_what_a_device_shows_is_fit_to_be_shown(t *testing.T) {
	const evil = `"\u001b[2J\u001b]0;canary\u0007\u202ecanary"`
	for name, test := range map[string]struct {
		members map[string]string
		ok      bool
	}{
		"as it is":               {ok: true},
		"code with escapes":      {members: map[string]string{"user_code": evil}},
		"code with a line end":   {members: map[string]string{"user_code": `"ABCD\nGo to evil.test"`}},
		"code that is long":      {members: map[string]string{"user_code": `"` + strings.Repeat("A", 65) + `"`}},
		"no code":                {members: map[string]string{"user_code": testserver.Omit}},
		"code that is a number":  {members: map[string]string{"user_code": "12345678"}},
		"no device code":         {members: map[string]string{"device_code": `""`}},
		"no URI":                 {members: map[string]string{"verification_uri": testserver.Omit}},
		"URI of Google":          {members: map[string]string{"verification_uri": testserver.Omit, "verification_url": `"https://auth.test/device"`}, ok: true},
		"URI with http":          {members: map[string]string{"verification_uri": `"http://auth.test/device"`}},
		"URI that runs":          {members: map[string]string{"verification_uri": `"javascript:alert(1)"`}},
		"URI that is a file":     {members: map[string]string{"verification_uri": `"file:///etc/passwd"`}},
		"URI that is an option":  {members: map[string]string{"verification_uri": `"-x"`}},
		"URI with escapes":       {members: map[string]string{"verification_uri": `"https://auth.test/\u001b[2J"`}},
		"URI with bidi":          {members: map[string]string{"verification_uri": `"https://auth.test/\u202etset.live"`}},
		"URI with userinfo":      {members: map[string]string{"verification_uri": `"https://auth.test@evil.test/"`}},
		"complete URI with http": {members: map[string]string{"verification_uri_complete": `"http://auth.test/?user_code=x"`}, ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newLogins(t)
				f.UpdatePolicy(func(p *testserver.Policy) { p.Device = test.members })
				var shownPrompt DevicePrompt
				err := f.session.LoginDevice(t.Context(), func(_ context.Context, p DevicePrompt) error {
					shownPrompt = p
					f.AnswerDevice(p.UserCode, "alice")
					return nil
				})
				if (err == nil) != test.ok {
					t.Errorf("error %v", err)
				}
				if !test.ok && shownPrompt != (DevicePrompt{}) {
					t.Errorf("shown: %+v", shownPrompt)
				}
				if strings.HasPrefix(shownPrompt.VerificationURIComplete, "http:") {
					t.Errorf("shown: %q", shownPrompt.VerificationURIComplete)
				}
				if err != nil && strings.ContainsAny(err.Error(), "\x1b\u202e\n") {
					t.Errorf("the error is %q", err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := newLogins(t)
		quoting := func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			testserver.OAuthError(400, "invalid_request", "\x1b[2J\u202e"+r.PostForm.Get("device_code"))(w, r, next)
		}
		f.Inject(testserver.OnPoll, testserver.Always, quoting)
		err := f.session.LoginDevice(t.Context(), show)
		if err == nil || strings.ContainsAny(err.Error(), "\x1b\u202e") || strings.Contains(err.Error(), "device-") {
			t.Errorf("error %q", err)
		}
	})
}
