package client

import (
	"encoding/json"
	"errors"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/oauth2"
)

var (
	allDigits  = regexp.MustCompile(`^[0-9]+$`)
	jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`)
	plainWord  = regexp.MustCompile(`^[a-zA-Z0-9]{8,100}$`)
)

// FuzzRetryAfter compares with numbers of any size, and with the difference of
// two dates.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{
		"", "0", "120", " 7 ", "-1", "+1", "1.5", "1e3", "3600", "3601", "18446744073709551616x", strings.Repeat("9", 40),
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
	} {
		f.Add(value, "Sun, 06 Nov 1994 08:49:00 GMT")
		f.Add(value, "")
	}
	now := time.Date(1994, 11, 6, 8, 49, 30, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value, date string) {
		got := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, now)
		want := time.Duration(0)
		if text := strings.TrimSpace(value); allDigits.MatchString(text) {
			n, _ := new(big.Int).SetString(text, 10)
			want = maxRetryAfter
			if n.Cmp(big.NewInt(3600)) < 0 {
				want = time.Duration(n.Int64()) * time.Second
			}
		} else if at, err := http.ParseTime(text); err == nil {
			from := now
			if d, err := http.ParseTime(date); err == nil {
				from = d
			}
			want = min(max(at.Sub(from), 0), time.Hour)
		}
		if got != want {
			t.Errorf("Retry-After %q at %q is %s, want %s", value, date, got, want)
		}
	})
}

// FuzzLifetime compares with numbers of any precision, as JSON has them, bare and
// in a string.
func FuzzLifetime(f *testing.F) {
	for _, text := range []string{
		"3600", "0", "-1", "3599.5", "1e3", "1E-2", "1e400", "1e-400", "-0", "315360000", "315360001", "9223372036854775808",
		"NaN", "Inf", "0x10", "1_000", "+5", ".5", "5.", "e", "", " 5 ", "null", "true", `"5"`, "[5]", "٣",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted, _ := json.Marshal(text)
		a := answer{members: members{"bare": json.RawMessage(text), "quoted": quoted}}
		bare, inString := a.lifetime("bare"), a.lifetime("quoted")
		for _, d := range []time.Duration{bare, inString} {
			if d < 0 || d > maxLifetime {
				t.Errorf("%q is %s", text, d)
			}
		}
		if strings.ContainsAny(text, "xXnNiI_pP") && !strings.Contains(text, `"`) && bare+inString > 0 {
			t.Errorf("%q is %s, and no number of JSON", text, max(bare, inString))
		}
		if len(text) > 40 || !jsonNumber.MatchString(text) {
			return
		}
		n, _, err := big.ParseFloat(text, 10, 300, big.ToNearestEven)
		if err != nil {
			t.Fatal(err)
		}
		want := maxLifetime
		if n.Cmp(big.NewFloat(maxLifetime.Seconds())) < 0 {
			ns, _ := n.Mul(n, big.NewFloat(1e9)).Int64()
			want = max(time.Duration(ns), 0)
		}
		if bare != inString || (bare-want).Abs() > time.Microsecond {
			t.Errorf("%q is %s, and in a string %s, want %s", text, bare, inString, want)
		}
	})
}

// FuzzMediaType compares with mime where that can read the field.
func FuzzMediaType(f *testing.F) {
	for _, text := range []string{
		"application/json", "Application/JSON; charset=UTF-8", "application/json;charset", "text/html;;", " text/plain ", ";", "",
		"application/json, text/html", `application/x; a="b;c"`, "a/b; a=1; a=2", "no type", "application/ json",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := mediaTypeOf(text)
		if want, _, err := mime.ParseMediaType(text); err == nil && got != want {
			t.Errorf("%q is of type %q, want %q", text, got, want)
		}
		if again := mediaTypeOf(got); again != got {
			t.Errorf("%q is of type %q, and that of %q", text, got, again)
		}
		if got != strings.TrimSpace(got) || strings.Contains(got, ";") {
			t.Errorf("%q is of type %q", text, got)
		}
		if with := mediaTypeOf(got + "; charset=utf-8"); with != got {
			t.Errorf("with a parameter %q is %q", got, with)
		}
	})
}

// FuzzForm compares with net/url, and reads again what was read.
func FuzzForm(f *testing.F) {
	for _, text := range []string{
		"access_token=at&refresh_token=rt", "access_token=a+b%20c%2b", "access_token=at&access_token=at", "access_token=%zz&scope=a", "error=x;y=z",
		"access_token", "access_token=at&&=&a=b=c", " error=invalid_grant\n", "x=1", "", "access_token=\xff",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ms, err := readForm([]byte(text))
		want, wantErr := url.ParseQuery(strings.TrimSpace(text))
		if err == nil && wantErr != nil {
			t.Fatalf("%q was read, and net/url says %v", text, wantErr)
		}
		if err != nil && err != errNotForm && err != errDuplicate {
			t.Fatalf("error %v, want one that quotes nothing", err)
		}
		form := make(url.Values)
		for name := range ms {
			value, ok := ms.text(name)
			if !ok || len(want[name]) != 1 || value != strings.ToValidUTF8(want[name][0], "\ufffd") && value != toUTF8(want[name][0]) {
				t.Fatalf("%q is %q, want one of %q", name, value, want[name])
			}
			form.Set(name, value)
		}
		if err != nil {
			return
		}
		again, err := readForm([]byte(form.Encode()))
		if err != nil || len(again) != len(ms) {
			t.Fatalf("%q was read, and is %v when written again", text, err)
		}
		for name := range ms {
			value, _ := ms.text(name)
			if got, _ := again.text(name); got != value {
				t.Errorf("%q is %q, and again %q", name, value, got)
			}
		}
	})
}

// toUTF8 puts the replacement character for every bad byte, as encoding/json does.
func toUTF8(s string) string { return string([]rune(s)) }

// FuzzServerError puts a secret into each text of an error. It is never shown, and
// nothing else that does not belong on a terminal.
func FuzzServerError(f *testing.F) {
	f.Add("invalid_grant", "the token ", " is spent", "https://x/?t=", "refreshToken1", 400)
	f.Add("", "\x1b[2J", "\x1b]0;x\x07", "\u202e", "redacted1", 200)
	f.Add(strings.Repeat("e", 60), strings.Repeat("d", 290), "\u0085", strings.Repeat("u", 190), "abcabcabc", 503)
	f.Add("\u009b", "\u0090", "\u009c", "\xff", "zzzzzzzz", 401)
	f.Fuzz(func(t *testing.T, code, before, after, uri, secret string, status int) {
		if !plainWord.MatchString(secret) || strings.Contains("redacted", secret) || status < 200 || status > 599 {
			t.Skip()
		}
		// A server may put control characters in between, which are not shown.
		hidden := secret[:4] + "\x1b[31m" + secret[4:6] + "\u200b\x00" + secret[6:]
		text, err := json.Marshal(map[string]string{
			"error": code + secret, "error_description": before + hidden + after + secret, "error_uri": uri + secret,
		})
		if err != nil {
			t.Fatal(err)
		}
		resp := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}}
		re := readAnswer(resp, text, []string{secret}).failure()
		for _, got := range []string{re.Error(), shown(re)} {
			if strings.Contains(got, secret) {
				t.Errorf("%q is shown in %q", secret, got)
			}
		}
		if got := re.Error(); len(got) > 1000 || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("not fit to be shown: %q", got)
		}
		var se *ServerError
		var retrieve *oauth2.RetrieveError
		if !errors.As(re, &se) || !errors.As(re, &retrieve) {
			t.Fatalf("%v is no ServerError", re)
		}
		for _, text := range []string{se.Code, se.Description, se.URI} {
			if again := clean(text, []string{secret}, maxDescription+len("…")); again != text {
				t.Errorf("%q is shown, and cleaned again %q", text, again)
			}
		}
		if retrieve.ErrorCode != se.Code || retrieve.ErrorDescription != se.Description || retrieve.ErrorURI != se.URI || len(retrieve.Body) > 0 {
			t.Errorf("%#v is not %#v", retrieve, se)
		}
	})
}
