package client

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-go/freshet/transport"
)

// Canaries are the secrets of a test by their names, so that a leak says whose it
// is.
type canaries map[string]string

// telling is how much of a secret must not be shown either.
const telling = 12

// spellings returns the texts by which the beginning of secret can be known: as it
// is, as forms and JSON have it, in hexadecimal and decimal digits, and in base64
// wherever in a longer text it stands.
func spellings(secret string) []string {
	secret = secret[:min(len(secret), telling)]
	quoted, _ := json.Marshal(secret)
	digits := hex.EncodeToString([]byte(secret))
	list := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(quoted), `"`), strings.Trim(fmt.Sprintf("%q", secret), `"`),
		digits, strings.ToUpper(digits), fmt.Sprintf("% x", secret), strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
	}
	for before := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString(append(make([]byte, before), secret...))
			text = text[(before*8+5)/6:] // what stands before is in the first characters
			if (before+len(secret))%3 != 0 {
				text = text[:len(text)-1] // and what follows in the last
			}
			list = append(list, text)
		}
	}
	return list
}

// want checks that text shows none of the secrets.
func (c canaries) want(t *testing.T, where, text string) {
	t.Helper()
	for name, secret := range c {
		for _, spelling := range spellings(secret) {
			i := strings.Index(text, spelling)
			if i < 0 {
				continue
			}
			t.Errorf("%s shows the %s, as %q: …%s…", where, name, spelling, text[max(0, i-100):min(len(text), i+len(spelling)+40)])
			break
		}
	}
}

// A witness keeps everything that the library says, to the log, to the observer
// and to its callers.
type witness struct {
	mu     sync.Mutex // guards what follows
	log    bytes.Buffer
	events map[string]int // by the field of the Observer
	said   strings.Builder
	panics bool // the observer panics, once it was told
}

// logger returns a logger for both of slog's formats, at the lowest level there is.
func (w *witness) logger() *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.Level(math.MinInt), AddSource: true}
	return slog.New(slog.NewMultiHandler(slog.NewTextHandler(locked{w}, options), slog.NewJSONHandler(locked{w}, options)))
}

type locked struct{ w *witness }

func (l locked) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.log.Write(p)
}

// observer returns an Observer each of whose funcs, whatever funcs there are,
// keeps what it is told.
func (w *witness) observer(t *testing.T) *transport.Observer {
	o := new(transport.Observer)
	v := reflect.ValueOf(o).Elem()
	w.events = make(map[string]int)
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Name, v.Field(i)
		if f.Kind() != reflect.Func {
			t.Fatalf("Observer.%s is no func", name)
		}
		w.events[name] = 0
		f.Set(reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
			w.told(name, args[0].Interface())
			return nil
		}))
	}
	return o
}

func (w *witness) told(name string, event any) {
	w.sayAll(event)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events[name]++
	if w.panics {
		panic(event)
	}
}

func (w *witness) setPanics(panics bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.panics = panics
}

// say keeps v, in every way in which a program may print it, and the errors that
// are in it.
func (w *witness) say(v any) {
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	text, err := json.Marshal(v)
	fmt.Fprintln(&b, string(text), err)
	if err, ok := v.(error); ok && err != nil {
		b.WriteString(shown(err))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said.WriteString(b.String())
}

// sayAll says v, a struct, and each of its fields.
func (w *witness) sayAll(v any) {
	w.say(v)
	for _, field := range reflect.ValueOf(v).Fields() {
		w.say(field.Interface())
	}
}
