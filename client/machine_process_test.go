package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/transport"
)

// A process is a client.Client with nothing in its memory but what it has seen
// itself; and what the model knows of that, guarded by its mutex.
type process struct {
	*machine
	name    string
	client  *client.Client
	cut     chan struct{} // closed when the process is gone: nothing reaches it, nor gets out
	closing bool
	gone    string // how it ended
	fenced  int    // how many of its next saves find the exclusion lost

	known     map[*user]version // the newest record that it is known to have
	served    map[*user]served
	rejected  map[string]bool // access tokens that it knows to be rejected
	forgot    map[*user]bool  // told to, and nothing was stored since
	last      map[*user]*send
	replacing map[*user]int       // calls of Import and Forget under way
	replaced  map[*user]time.Time // when the last of them ended
	began     map[*user]time.Time // when the last login here had worked
	failures  map[*user]int       // of token requests, running
	prompt    int                 // the Update in which a lost answer was asked for again
	out       map[*user]*logout   // the last one here
	outTurns  map[*user]int       // user.turns when it had worked
	told      string              // the last error, for the trace
}

func (m *machine) start(i int) {
	m.started++
	p := &process{
		machine: m, name: fmt.Sprintf("%c%d", 'A'+i, m.started), cut: make(chan struct{}),
		known: map[*user]version{}, served: map[*user]served{}, rejected: map[string]bool{},
		last: map[*user]*send{}, forgot: map[*user]bool{}, began: map[*user]time.Time{}, failures: map[*user]int{}, replacing: map[*user]int{}, replaced: map[*user]time.Time{},
		out: map[*user]*logout{}, outTurns: map[*user]int{},
	}
	var err error
	p.client, err = client.New(client.Config{
		Issuer: m.server.Issuer(), Endpoint: oauth2.Endpoint{TokenURL: m.server.TokenURL()}, RevocationURL: m.server.RevocationURL(), ClientID: "app",
		Store: door{p}, Base: wire{p}, TokenClient: &http.Client{Transport: wire{p}},
	})
	if err != nil {
		panic(err)
	}
	m.processes[i] = p
}

func (p *process) String() string { return p.name }

func (p *process) isCut() bool {
	select {
	case <-p.cut:
		return true
	default:
		return false
	}
}

// kill ends the process without a word: as how says.
func (p *process) kill(how string) {
	p.model.mu.Lock()
	p.gone = how
	p.crashed = p.crashed || how != "closed"
	p.model.mu.Unlock()
	close(p.cut)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	p.client.Close(over) // only so that its goroutines end
}

// stop ends the process as a program does that was told to.
func (p *process) stop(d time.Duration) {
	p.model.mu.Lock()
	p.closing = true
	p.model.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	start := time.Now()
	err := p.client.Close(ctx)
	how := "closed"
	if err != nil {
		how = "closed unsaved"
	}
	p.model.mu.Lock()
	p.model.trace("%s: Close: %v", p, err)
	if took := time.Since(start); took > d {
		p.model.violated("%s: Close took %s, and had %s", p, took, d)
	}
	if err == nil {
		p.model.judgeStored(p)
	}
	p.model.mu.Unlock()
	p.kill(how)
}

// learn notes that the process has that record.
func (p *process) learn(a *user, v version) {
	if old, found := p.known[a]; !found || v.newer(old) {
		p.known[a] = v
	}
}

// unlearn notes that the process may have what it knew before, if that was anything, and
// nothing newer.
func (p *process) unlearn(a *user, knew version) {
	if p.known[a] = knew; knew == (version{}) {
		delete(p.known, a)
	}
}

// uses notes that the process sends that token, and so has the record that it came with,
// unless it has forgotten that meanwhile.
func (p *process) uses(accessToken string) {
	p.model.mu.Lock()
	defer p.model.mu.Unlock()
	t := p.model.issued[accessToken]
	if t == nil || p.model.sessions[t.session] == nil {
		return
	}
	a := p.model.sessions[t.session].account
	if _, found := p.known[a]; found {
		p.learn(a, t.version)
	}
}

func (p *process) reject(accessToken string) {
	p.model.mu.Lock()
	defer p.model.mu.Unlock()
	p.rejected[accessToken] = true
}

// A served is a token that was handed out, and when: see user.turns.
type served struct {
	transport.Token
	version version
	turns   int
}

// A call is a call of the SDK for an account, and what was known when it began.
type call struct {
	p      *process
	a      *user
	within time.Duration
	start  time.Time
	turns  int
	excuse string // why a login error would be right
	served served // a token that goes on being served
}

func (p *process) call(a *user, within time.Duration) (context.Context, func(), *call) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	m := p.model
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count["calls"]++
	return ctx, cancel, &call{p, a, within, time.Now(), a.turns, m.excuseLogin(p, a, time.Now()), p.served[a]}
}

// token asks for a token.
func (p *process) token(a *user, within time.Duration) transport.Token {
	ctx, cancel, c := p.call(a, within)
	defer cancel()
	tok, err := p.client.Session(a.name).Token(ctx)
	c.end(tok, err, true)
	return tok
}

// renew asks for another token than the one at hand.
func (p *process) renew(a *user, within time.Duration) {
	tok := p.token(a, within)
	if tok.IsZero() {
		return
	}
	p.reject(tok.Reveal())
	ctx, cancel, c := p.call(a, within)
	defer cancel()
	tok, err := p.client.Session(a.name).Refresh(ctx, tok)
	c.end(tok, err, false)
}

// get sends a request to the API and reports whether it was taken.
func (p *process) get(a *user, within time.Duration) bool {
	ctx, cancel, c := p.call(a, within)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", p.server.APIURL("/me"), nil)
	resp, err := p.client.Session(a.name).HTTPClient().Do(req)
	if err != nil {
		var re *transport.RefreshError
		if errors.As(err, &re) || errors.Is(err, transport.ErrClosed) {
			c.end(transport.Token{}, err, true)
		}
		return false
	}
	if resp.StatusCode == http.StatusUnauthorized {
		resp.Body.Close()
		if err := transport.RefreshErrorOf(resp); err != nil {
			c.end(transport.Token{}, err, false)
		}
		return false
	}
	if whose := account(resp); whose != a.name {
		p.model.mu.Lock()
		p.model.violated("%s: a request for %s went out with a token of %s", p, a.name, whose)
		p.model.mu.Unlock()
	}
	return true
}

// end judges what the call brought. A call of Token goes on serving what is good.
func (c *call) end(tok transport.Token, err error, serves bool) {
	m, p, a := c.p.model, c.p, c.a
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.gone != "" {
		return
	}
	if took := time.Since(c.start); took > c.within {
		m.violated("%s: a caller waits %s, and had %s", p, took, c.within)
	}
	if err == nil {
		m.judgeToken(p, a, tok, c.turns)
		return
	}
	if text := fmt.Sprintf("%s: %s: %v", p, a.name, err); p.told != text[:min(len(text), 80)] {
		p.told = text[:min(len(text), 80)]
		m.trace("%s", text)
	}
	m.judgeError(c, err)
	var re *transport.RefreshError
	if good := c.served; serves && !p.closing && good.turns == a.turns && good.version == p.known[a] && !m.sessions[good.version.session].loggedOut() && !p.rejected[good.Reveal()] && time.Now().Before(good.Expiry()) &&
		errors.As(err, &re) && re.Kind != transport.Cancelled {
		m.violated("%s: %s: the token is good for %s, and the caller gets %v", p, a.name, time.Until(good.Expiry()), err)
	}
}

// importToken begins a session with f's first token, as a login does, or a start.
func (p *process) importToken(f *family, within time.Duration) {
	m, a := p.model, f.account
	m.mu.Lock()
	if f.begun.IsZero() {
		f.begun = time.Now()
	}
	f.importing++
	p.replaceBegins(a)
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := p.client.Session(a.name).Import(ctx, &oauth2.Token{RefreshToken: f.seed})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trace("%s: Import of %s: %v", p, m.tokens[f.seed], err)
	if !p.replaceEnds(a, err) {
		return
	}
	f.importing--
	if err == nil && f.imported.IsZero() && f.importing == 0 { // by this process alone
		p.began[a] = time.Now()
	}
	f.imported = time.Now()
}

// replaceBegins notes that p is told to put another record, or none, in place of
// what it has of a: from then on it need not save that.
func (p *process) replaceBegins(a *user) {
	a.turns++
	a.news++
	p.replacing[a]++
}

// replaceEnds reports whether that is over: it goes on where only the caller's time was.
func (p *process) replaceEnds(a *user, err error) bool {
	a.turns++
	a.news++
	p.replaced[a] = time.Now()
	var re *transport.RefreshError
	if errors.As(err, &re) && re.Kind == transport.Cancelled {
		return false
	}
	p.replacing[a]--
	return true
}

func (p *process) forget(a *user, within time.Duration) {
	p.model.mu.Lock()
	p.replaceBegins(a)
	p.model.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := p.client.Session(a.name).Forget(ctx)
	p.model.mu.Lock()
	defer p.model.mu.Unlock()
	p.model.trace("%s: Forget %s: %v", p, a.name, err)
	p.replaceEnds(a, err)
	_, found := p.known[a]
	p.forgot[a] = err == nil && !found && p.replacing[a] == 0
}
