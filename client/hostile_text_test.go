package client

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

// Texts that a server puts wherever it may put one neither control a terminal nor
// fill a log: not by errors, not by lines of the log, events or a Status.
func TestHostile_texts(t *testing.T) {
	const nasty = "\x1b[2J\x1b]8;;http://evil\x1b\\\u202eevil\u2066\u200b\u200d\ufeff\u034f\U000e0041\u2028\u0085\x00\x07\x7f\xff"
	quoted := func(text string) string { // as JSON, invalid UTF-8 as it is
		var b strings.Builder
		for _, c := range []byte(text) {
			if c < ' ' || c == '"' || c == '\\' {
				fmt.Fprintf(&b, `\u%04x`, c)
			} else {
				b.WriteByte(c)
			}
		}
		return `"` + b.String() + `"`
	}
	for size, text := range map[string]string{"": nasty, "long ": strings.Repeat("evil", 16<<10) + nasty, "many ": strings.Repeat(nasty, 100)} {
		for _, member := range []string{
			"access_token", "refresh_token", "token_type", "scope", "id_token", "expires_in", "x", nasty[:3],
			"error", "error_description", "error_uri", "status",
		} {
			for _, status := range []int{200, 400, 503} {
				t.Run(fmt.Sprintf("%s%q %d", size, member, status), func(t *testing.T) {
					good := map[string]string{"access_token": `"at"`, "token_type": `"Bearer"`}
					good[member] = quoted(text)
					list := []string{}
					for name, value := range good {
						list = append(list, strings.ToValidUTF8(quoted(name), "")+":"+value)
					}
					checkTexts(t, respondAs(status, "application/json", "{"+strings.Join(list, ",")+"}"))
				})
			}
		}
	}
	line := strings.NewReplacer("\x00", "", "\u0085", "").Replace(nasty) // with what HTTP lets through
	for name, head := range map[string]string{
		"status text": "400 " + line, "Content-Type": "400 Bad\r\nContent-Type: " + line, "of good": "200 OK\r\nContent-Type: text/" + line,
		"Retry-After": "503 Busy\r\nRetry-After: " + line, "Location": "307 Go\r\nLocation: https://" + line,
		"challenge": "401 No\r\nWWW-Authenticate: Basic realm=\"" + line + "\"", "coding": "200 OK\r\nContent-Encoding: " + line,
		"other name": "200 OK\r\n" + line + ": x", "other value": "200 OK\r\nX: " + line + "\x00", "protocol": "\x1b[2J" + line,
		"length": "200 OK\r\nContent-Length: " + line, "transfer coding": "200 OK\r\nTransfer-Encoding: " + line,
	} {
		t.Run("header: "+name, func(t *testing.T) { checkTexts(t, raw(head, nasty)) })
	}
}

func respondAs(status int, contentType, body string) testserver.Action {
	return testserver.Respond(status, map[string][]string{"Content-Type": {contentType}}, body)
}

// checkTexts has the token endpoint answer so, and looks at all that is said then.
func checkTexts(t *testing.T, answer testserver.Action) {
	var logs bytes.Buffer
	level := &slog.HandlerOptions{Level: slog.LevelDebug - 4}
	var events []any
	f := newFixture(t, func(c *Config) {
		c.Logger = slog.New(slog.NewMultiHandler(slog.NewTextHandler(&logs, level), slog.NewJSONHandler(&logs, level)))
		c.Observer = &transport.Observer{
			RefreshEnded:  func(e transport.RefreshEnded) { events = append(events, e, e.Err) },
			LoginRequired: func(e transport.LoginRequiredEvent) { events = append(events, e, e.Err) },
		}
	})
	f.Inject(testserver.OnToken, testserver.Always, answer)
	tok, err := f.session.Token(t.Context())
	f.client.Close(t.Context()) // until nothing is logged any more
	all := []any{tok, err, f.session.Status(), f.session.Status().Err, f.session, f.client}
	for _, v := range append(all, events...) {
		for _, verb := range []string{"%v", "%+v", "%s"} {
			checkText(t, verb, fmt.Sprintf(verb, v), 4000)
		}
		if err, ok := v.(error); ok {
			checkText(t, "%q", strings.ReplaceAll(fmt.Sprintf("%q", err), `\"`, `"`), 2000)
		}
	}
	for line := range strings.Lines(logs.String()) {
		checkText(t, "log", strings.TrimSuffix(line, "\n"), 2000)
	}
}

// checkText checks that text can be printed as it is, and has nothing in it that
// had to be escaped for that.
func checkText(t *testing.T, how, text string, most int) {
	t.Helper()
	bad := strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || unicode.In(r, invisible...) })
	if bad || len(text) > most || strings.Contains(text, `\x`) || strings.Contains(text, `\u`) || strings.Contains(text, "[2J") {
		t.Errorf("%s, %d bytes: %.500q", how, len(text), text)
	}
}
