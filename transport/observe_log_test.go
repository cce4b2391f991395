package transport_test

import (
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// logTo returns a Logger that writes to b what does not differ from run to run.
func logTo(b *logBuffer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

var fingerprint = regexp.MustCompile(`token=[0-9a-f]{8}`)

// wantLog checks the lines since the last check, with fingerprints cut out.
func wantLog(t *testing.T, b *logBuffer, want ...string) {
	t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	got := fingerprint.ReplaceAllString(b.text.String(), "token=*")
	b.text.Reset()
	if w := strings.Join(append(want, ""), "\n"); got != w {
		t.Errorf("the log has\n%s\nwant\n%s", got, w)
	}
}

// The log has a line for each event, with all that an operator asks for first.
func TestLog_of_a_session(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		b, shelf, srv := new(logBuffer), newShelf(), &server{lifetime: time.Hour, delay: time.Second}
		cfg := shelf.config(srv, nil)
		cfg.Logger = logTo(b, slog.LevelDebug)
		src := newSource(t, cfg)
		rec := srv.login()
		rec.Account = "ann"
		mustSet(t, src, rec)
		wantLog(t, b)
		if _, err := src.Token(t.Context(), "api"); err != nil {
			t.Fatal(err)
		}
		wantLog(t, b, `level=DEBUG msg="freshet: refresh began" reason=none attempt=1 account=ann target=api key=key`,
			`level=INFO msg="freshet: refreshed" reason=none outcome=exchanged attempt=1 rotated=true waiters=1 duration=1s token=* account=ann target=api key=key`)
		srv.fail = func(int) error { return &transport.RefreshError{RetryAfter: time.Minute, Err: errDown} }
		time.Sleep(2 * time.Hour)
		wantError(t, src, transport.Transient)
		wantLog(t, b, `level=DEBUG msg="freshet: refresh began" reason=expired attempt=1 account=ann key=key`,
			`level=WARN msg="freshet: refresh failed" reason=expired attempt=1 waiters=1 duration=1s err="transport: transient: 503 Service Unavailable (next try in 1m0s)" account=ann key=key`)
		srv.fail = nil
		shelf.set(nil)
		time.Sleep(time.Minute)
		mustToken(t, src)
		wantLog(t, b, `level=DEBUG msg="freshet: refresh began" reason=expired attempt=2 account=ann key=key`,
			`level=WARN msg="freshet: record written back" gone=true account=ann key=key`,
			`level=INFO msg="freshet: refreshed" reason=expired outcome=exchanged attempt=2 rotated=true waiters=1 duration=1s token=* account=ann key=key`)
		time.Sleep(2 * time.Hour)
		shelf.breakAt("saved", func() error { shelf.heal(); return tokenstore.ErrConflict })
		mustToken(t, src)
		wantLog(t, b, `level=DEBUG msg="freshet: refresh began" reason=expired attempt=1 account=ann key=key`,
			`level=ERROR msg="freshet: new token not saved, kept in memory" err="tokenstore: exclusion lost, nothing written" account=ann key=key`,
			`level=INFO msg="freshet: refreshed" reason=expired outcome=unsaved attempt=1 rotated=true waiters=1 duration=1s token=* account=ann key=key`,
			`level=INFO msg="freshet: new token saved at last" after=0s account=ann key=key`)
		srv.fail = func(int) error { return invalidGrant() }
		time.Sleep(2 * time.Hour)
		wantError(t, src, transport.LoginRequired)
		wantLog(t, b, `level=DEBUG msg="freshet: refresh began" reason=expired attempt=1 account=ann key=key`,
			`level=WARN msg="freshet: refresh failed" reason=expired attempt=1 waiters=1 duration=1s err="transport: login required: invalid_grant" account=ann key=key`,
			`level=WARN msg="freshet: login required" err="transport: login required: invalid_grant" account=ann key=key`)
	})
}

// A later answers when nothing else is under way: what a refresh logs, it logs behind
// its callers.
type later struct{ http.RoundTripper }

func (l later) RoundTrip(req *http.Request) (*http.Response, error) {
	time.Sleep(time.Millisecond)
	return l.RoundTripper.RoundTrip(req)
}

func TestLog_of_requests(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		b, srv := new(logBuffer), &server{lifetime: time.Hour}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Logger: logTo(b, slog.LevelDebug)})
		mustToken(t, src)
		wantLog(t, b, `level=DEBUG msg="freshet: refresh began" reason=none attempt=1 key=session`,
			`level=INFO msg="freshet: refreshed" reason=none outcome=exchanged attempt=1 rotated=true waiters=1 duration=0s token=* key=session`)
		tr := newTransport(t, transport.Config{Source: src, Origins: []string{"https://api.test"}, Base: later{byToken{}}})
		wantAnswer(t, tr, request(t, "GET", "https://other.test:8443/path?q", nil), 401, "")
		wantLog(t, b, `level=DEBUG msg="freshet: request without a token" origin=https://other.test:8443 key=session`)
		wantAnswer(t, tr, request(t, "GET", "https://api.test/path?q", nil), 401, "")
		wantLog(t, b, `level=DEBUG msg="freshet: token rejected" host=api.test error=invalid_token refresh=true token=* key=session`,
			`level=DEBUG msg="freshet: refresh began" reason=rejected attempt=1 key=session`,
			`level=INFO msg="freshet: refreshed" reason=rejected outcome=exchanged attempt=1 rotated=true waiters=1 duration=0s token=* key=session`,
			`level=DEBUG msg="freshet: token rejected" host=api.test error=invalid_token refresh=true token=* key=session`)
	})
}

// A Logger that takes warnings only gets those, and the breaker is one.
func TestLog_heeds_its_level(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		b, srv := new(logBuffer), &server{lifetime: time.Hour}
		src := newSource(t, transport.SourceConfig{Refresh: srv.refresh, Logger: logTo(b, slog.LevelWarn)})
		tr := newTransport(t, transport.Config{Source: src, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
			return answerTo(req, http.StatusUnauthorized, http.NoBody), nil
		})}).With(src)
		for range 3 {
			wantAnswer(t, tr, request(t, "GET", "https://api.test/", nil), 401, "")
		}
		b.mu.Lock()
		text := b.text.String()
		b.mu.Unlock()
		if !regexp.MustCompile(`^level=WARN msg="freshet: breaker" open=true for=[0-9.]+s key=session\n$`).MatchString(text) {
			t.Errorf("the log has %s, want that the breaker opened", text)
		}
	})
}
