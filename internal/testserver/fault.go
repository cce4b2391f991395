package testserver

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// A Match describes requests. Each field that is not zero must fit; the zero
// Match fits every request.
type Match struct {
	Endpoint Endpoint
	Grant    string // the grant_type of a token request
	Method   string
	Host     string // as in [Entry]: what was dialed, not the Host header
	Path     string // the whole path, or what it begins with if it ends with a slash

	// When looks at the rest. It must not read the body.
	When func(*http.Request) bool
}

// The matches of every day.
var (
	OnToken   = Match{Endpoint: Token}
	OnRefresh = Match{Endpoint: Token, Grant: grantRefresh}
	OnAPI     = Match{Endpoint: API}
	OnRevoke  = Match{Endpoint: Revoke}

	OnMetadata  = Match{Endpoint: Metadata}
	OnAuthorize = Match{Endpoint: Authorize}
	OnPush      = Match{Endpoint: Push}
	OnDevice    = Match{Endpoint: Device}
	OnCode      = Match{Endpoint: Token, Grant: grantCode}
	OnPoll      = Match{Endpoint: Token, Grant: grantDevice}
)

func (m Match) fits(x *exchange, r *http.Request) bool {
	return either(m.Endpoint, x.endpoint) &&
		either(m.Grant, x.grant) &&
		either(m.Method, r.Method) &&
		either(m.Host, x.origin.host) &&
		m.fitsPath(r.URL.Path) &&
		(m.When == nil || m.When(r))
}

func (m Match) fitsPath(path string) bool {
	return either(m.Path, path) ||
		strings.HasSuffix(m.Path, "/") && strings.HasPrefix(path, m.Path)
}

// either reports whether want is empty or got.
func either[T ~string](want, got T) bool { return want == "" || want == got }

// An Action is what happens to a request instead of, before or after what the
// server would do, which is next. It is the shape of HTTP middleware; those of
// this package are made by functions such as [Drop] and [Status].
type Action func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc)

// Then returns the action that does a, in which b takes the place of what the
// server would do: DelayBefore(time.Second).Then(Status(503)).
func (a Action) Then(b Action) Action {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		a(w, r, func(w http.ResponseWriter, r *http.Request) { b(w, r, next) })
	}
}

// Always, as a number of requests, is all of them until the injection is
// cleared.
const Always = -1

// An Injection is an action that waits for its requests.
type Injection struct {
	table *faultTable
	match Match
	do    Action
	left  int // guarded by table.mu, like hits
	hits  int
}

// Inject makes do happen to the next times requests that match fits, or to all
// of them with [Always].
//
// To each request at most one injection happens: the oldest that has a number;
// without any such, the newest of Always. So a test writes down what is to
// happen to one request after the other. What is to happen together is one
// action: see [Action.Then].
func (s *Server) Inject(match Match, times int, do Action) *Injection {
	i := &Injection{table: &s.faults, match: match, do: do, left: times}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if times == Always {
		s.faults.always = append(s.faults.always, i)
	} else if times > 0 {
		s.faults.counted = append(s.faults.counted, i)
	}
	return i
}

// ClearFaults removes every injection.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.counted, s.faults.always = nil, nil
}

// Clear removes the injection. Requests to which it is happening go on.
func (i *Injection) Clear() {
	i.table.mu.Lock()
	defer i.table.mu.Unlock()
	i.table.remove(i)
}

// Hits returns how many requests it has happened to.
func (i *Injection) Hits() int {
	i.table.mu.Lock()
	defer i.table.mu.Unlock()
	return i.hits
}

type faultTable struct {
	mu      sync.Mutex // guards all, and the injections
	counted []*Injection
	always  []*Injection
}

// take returns the action for the request, or nil.
func (t *faultTable) take(x *exchange, r *http.Request) Action {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.find(x, r)
	if i == nil {
		return nil
	}
	i.hits++
	if i.left > 0 {
		if i.left--; i.left == 0 {
			t.remove(i)
		}
	}
	return i.do
}

func (t *faultTable) find(x *exchange, r *http.Request) *Injection {
	for _, i := range t.counted {
		if i.match.fits(x, r) {
			return i
		}
	}
	for _, i := range slices.Backward(t.always) {
		if i.match.fits(x, r) {
			return i
		}
	}
	return nil
}

func (t *faultTable) remove(i *Injection) {
	is := func(o *Injection) bool { return o == i }
	t.counted = slices.DeleteFunc(t.counted, is)
	t.always = slices.DeleteFunc(t.always, is)
}
