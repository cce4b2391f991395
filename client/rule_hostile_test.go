package client

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf16"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/transport"
)

// Time passes in a bubble only when everybody waits, so nothing here depends on
// how fast the machine is.
func TestRule038_hostile_answers_end_in_time_and_in_a_typed_error(t *testing.T) {
	log.SetOutput(io.Discard) // net/http complains there
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	for name, a := range hostileAnswers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { a.test(t) }) // fails if a goroutine or a connection is left
		})
	}
	for status := 300; status <= 308; status++ {
		t.Run(fmt.Sprint("redirect ", status), func(t *testing.T) {
			a := hostile{testserver.Redirect(status, "https://elsewhere.test/token"), 1, hostileHeader, 0}
			synctest.Test(t, func(t *testing.T) { a.test(t) })
		})
	}
	for name, flood := range http2Floods {
		t.Run("HTTP2 "+name, func(t *testing.T) { flood.test(t) })
	}
	t.Run("memory", testMemoryOfHostileAnswers)
	t.Run("harmless after all", testHarmlessAnswers)
}

// A hostile is an answer that brings no token.
type hostile struct {
	action   testserver.Action
	requests int
	read     int64         // bytes at the most, of one connection
	took     time.Duration // at the most
}

// test asks for a token, and has the server be good afterwards.
func (a hostile) test(t *testing.T) {
	f, m := newHostile(t, 2*a.read)
	defer time.Sleep(time.Second) // in which pour finds that the client is gone
	defer f.client.endpoint.closeIdle()
	f.Inject(testserver.OnToken, testserver.Always, a.action)
	start := time.Now()
	re := f.fail(t)
	if re.Kind != transport.Transient {
		t.Errorf("error %v of kind %s, want one of kind %s", re, re.Kind, transport.Transient)
	}
	if took := time.Since(start); took > a.took {
		t.Errorf("it took %s, want no more than %s", took, a.took)
	}
	if n := f.Log().TokenRequests(); n != a.requests {
		t.Errorf("%d requests, want %d", n, a.requests)
	}
	if n := m.most.Load(); n > a.read {
		t.Errorf("%d bytes of an answer read, want no more than %d", n, a.read)
	}
	time.Sleep(idleTimeout + time.Second)
	if n := m.open.Load(); n != 0 {
		t.Errorf("%d connections left", n)
	}
	if got := f.record(t).RefreshToken.Reveal(); got != f.seed {
		t.Fatalf("the store holds %.20q, not the refresh token", got)
	}
	f.ClearFaults()
	time.Sleep(2 * time.Hour) // over every pause
	if _, err := f.session.Token(t.Context()); err != nil {
		t.Errorf("the session is lost: %v", err)
	}
}

const (
	hostileHeader = maxAnswerHeader + 16<<10 // net/http reads a little ahead
	hostileAnswer = maxAnswer + 16<<10
	okay          = "200 OK\r\nContent-Type: application/json"
	chunked       = okay + "\r\nTransfer-Encoding: chunked"
	object        = `{"access_token":"at","token_type":"bearer"}`
)

func hostileAnswers() map[string]hostile {
	const header, answer, timeout, small = hostileHeader, hostileAnswer, hostileTimeout, 16 << 10
	poured := func(head, first, text string, pause time.Duration) testserver.Action {
		return pour("HTTP/1.1 "+head+"\r\n\r\n"+first, text, pause)
	}
	inUTF16 := func() string {
		var b strings.Builder
		for _, u := range utf16.Encode([]rune("\ufeff" + object)) {
			b.Write([]byte{byte(u >> 8), byte(u)})
		}
		return b.String()
	}
	bomb := gzipped(make([]byte, 64<<20))
	gzipHead := string(gzipped(nil)[:10])
	return map[string]hostile{
		"endless":       {testserver.Endless(200), 1, answer, 0},
		"endless error": {testserver.Endless(400), 1, answer, 0},
		"deep":          {respondJSON(`{"x":` + strings.Repeat("[", 1<<20-10)), 1, answer, 0},
		"deep objects":  {respondJSON(strings.Repeat(`{"error":`, 1<<16)), 1, answer, 0},
		"many members":  {respondJSON(`{` + strings.Repeat(`"":0,`, 1<<17)), 1, answer, 0},
		"many parameters": {testserver.Respond(200, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			strings.Repeat("a&", 1<<19-1)), 1, answer, 0},

		"bomb":                   {testserver.Gzip().Then(testserver.Endless(200)), 1, answer / 16, 0},
		"bomb that says gzip":    {respondCoded("gzip", bomb), 1, answer / 16, 0},
		"gzip twice":             {respondCoded("gzip, gzip", gzipped(bomb)), 1, answer, 0},
		"deflate":                {respondCoded("deflate", deflated([]byte(object))), 1, small, 0},
		"br":                     {respondCoded("br", []byte("\x0b\x02\x80{}\x03")), 1, small, 0},
		"zstd":                   {respondCoded("zstd", []byte("\x28\xb5\x2f\xfd\x04\x00\x11\x00\x00{}")), 1, small, 0},
		"gzip that is none":      {respondCoded("gzip", []byte(object)), 2, small, time.Second},
		"gzip that breaks off":   {respondCoded("gzip", bomb[:20]), 2, small, time.Second},
		"gzip of nothing":        {poured(okay+"\r\nContent-Encoding: gzip", gzipHead, "\x00\x00\x00\xff\xff", 10*time.Millisecond), 1, header, timeout},
		"gzip of many nothings":  {poured(okay+"\r\nContent-Encoding: gzip", "", string(gzipped(nil)), 10*time.Millisecond), 1, header, timeout},
		"gzip with a long name":  {poured(okay+"\r\nContent-Encoding: gzip", "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x00", strings.Repeat("n", 1<<10), 0), 2, small, time.Second},
		"no header at all":       {testserver.Hang(), 1, 0, timeout},
		"a byte a second":        {testserver.Drip(time.Second).Then(respondJSON(object)), 1, header, timeout},
		"header by header":       {pour("HTTP/1.1 200 OK\r\n", "X: y\r\n", 10*time.Millisecond), 1, header, timeout},
		"interim answers":        {pour("", "HTTP/1.1 102 Wait\r\n\r\n", 10*time.Millisecond), 1, header, timeout},
		"interim answers, quick": {pour("", "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", 0), 2, header, time.Second},
		"huge header":            {pour("HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 1<<10), 0), 2, header, time.Second},
		"many headers":           {pour("HTTP/1.1 200 OK\r\n", strings.Repeat("X: y\r\n", 1<<8), 0), 2, header, time.Second},
		"huge status line":       {pour("HTTP/1.1 200 ", strings.Repeat("x", 1<<10), 0), 2, header, time.Second},
		"another protocol":       {poured("101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x", "", "x", 10*time.Millisecond), 1, header, 0},

		"length too small":      {raw(okay+"\r\nContent-Length: 10", object), 1, small, 0},
		"length too large":      {raw(okay+"\r\nContent-Length: 1000", object[:20]), 2, small, time.Second},
		"length below zero":     {raw(okay+"\r\nContent-Length: -1", object), 2, small, time.Second},
		"length past all":       {raw(okay+"\r\nContent-Length: 99999999999999999999", object), 2, small, time.Second},
		"two lengths":           {raw(okay+"\r\nContent-Length: 9\r\nContent-Length: 10", object), 2, small, time.Second},
		"trailers without end":  {poured(chunked, "2\r\n{}\r\n0\r\n", strings.Repeat("X: y\r\n", 1<<8), 0), 1, header, 0},
		"trailer by trailer":    {poured(chunked, "2\r\n{}\r\n0\r\n", "X: y\r\n", time.Second), 1, small, timeout},
		"a chunk line":          {poured(chunked, "1;", strings.Repeat("x", 1<<10), 0), 2, header, time.Second},
		"chunk extensions":      {poured(chunked, "", "1;"+strings.Repeat("x", 1<<10)+"\r\n{\r\n", 0), 2, header, time.Second},
		"a chunk past all":      {raw(chunked, "ffffffffffffffffff\r\n{"), 2, small, time.Second},
		"a chunk below zero":    {raw(chunked, "-1\r\n{"), 2, small, time.Second},
		"HTTP/0.9":              {testserver.Raw(object), 2, small, time.Second},
		"a page alone":          {testserver.Raw("<html>Please log in</html>"), 2, small, time.Second},
		"another name":          {testserver.Raw("ICY/1.1 200 OK\r\n\r\n" + object), 2, small, time.Second},
		"a status of no digits": {raw("2OO OK", object), 2, small, time.Second},
		"a status of 099":       {raw("099 Odd\r\nContent-Length: 0", ""), 1, small, 0},
		"a status of 999":       {raw("999 Odd\r\nContent-Type: application/json", object), 1, small, 0},
		"a NUL in a header":     {raw(okay+"\r\nX: \x00", object), 2, small, time.Second},

		"empty":          {respondJSON(""), 1, small, 0},
		"no content":     {testserver.Status(204), 1, small, 0},
		"HTML":           {testserver.HTML(200), 1, small, 0},
		"a firewall":     {testserver.HTML(403), 1, small, 0},
		"BOM alone":      {respondJSON("\ufeff"), 1, small, 0},
		"UTF-16":         {respondJSON(inUTF16()), 1, small, 0},
		"NUL":            {respondJSON("\x00" + object), 1, small, 0},
		"NUL after":      {respondJSON(object + "\x00"), 1, small, 0},
		"invalid UTF-8":  {respondJSON("{\"access_token\":\"\xff\xfe\"}"), 1, small, 0},
		"surrogates":     {respondJSON(`{"access_token":"\ud800"}`), 1, small, 0},
		"no JSON number": {respondJSON(`{"access_token":"at","expires_in":` + strings.Repeat("0", 1<<10) + `}`), 1, small, 0},
		"duplicates":     {respondJSON(`{"access_token":"at",` + object[1:]), 1, small, 0},
	}
}

// What is allocated in all, of which only a part is held at once.
func testMemoryOfHostileAnswers(t *testing.T) {
	for _, text := range []string{"a", "[", `{"a":`, `"":0,`, "\x00", "a&", "%", "\\u0000"} {
		var taken int64
		e := testEndpoint(roundTrip(func(*http.Request) (*http.Response, error) {
			endless := readFunc(func(p []byte) (int, error) {
				for n := 0; n < len(p); n += copy(p[n:], text) {
				}
				taken += int64(len(p))
				return len(p), nil
			})
			body := io.MultiReader(strings.NewReader(`{"error":"`), endless)
			return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(body)}, nil
		}))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, re := refreshWith(t.Context(), t, e)
		runtime.ReadMemStats(&after)
		if re == nil || re.Kind != transport.Transient {
			t.Errorf("%q without end: error %v", text, re)
		}
		if taken > maxAnswer+1 {
			t.Errorf("%q without end: %d bytes read", text, taken)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
			t.Errorf("%q without end: %d bytes allocated", text, n)
		}
	}
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Answers that look hostile and are not: they cost no refresh and no session.
func testHarmlessAnswers(t *testing.T) {
	const million = 1_000_000
	for name, member := range map[string]string{
		"a huge exponent":                           `"expires_in":1e999999999`,
		"a number of 400 KB":                        `"expires_in":` + strings.Repeat("9", 400<<10),
		"a fraction of 400 KB":                      `"expires_in":0.` + strings.Repeat("0", 400<<10) + "1",
		"CVE-2025-22868 a token of a million dots":  `"access_token":"` + strings.Repeat(".", million) + `"`,
		"an id_token of a million dots":             `"id_token":"` + strings.Repeat(".", million) + `"`,
		"a scope of half a million words":           `"scope":"` + strings.Repeat("a ", million/2) + `"`,
		"an array of half a million empty elements": `"scope":[` + strings.Repeat(`"",`, million/3-1) + `""]`,
	} {
		t.Run(name, func(t *testing.T) {
			body := `{` + member + `,"refresh_token":"new"}`
			if !strings.Contains(body, "access_token") {
				body = `{"access_token":"at",` + body[1:]
			}
			f := newFixture(t)
			f.answer(200, "application/json", body)
			if _, err := f.session.Token(t.Context()); err != nil {
				t.Error(err)
			}
			if got := f.record(t).RefreshToken.Reveal(); got != "new" {
				t.Errorf("the store holds %.10q, not the new refresh token", got)
			}
		})
	}
}
