package client_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing/synctest"
	"time"
)

// An op is one thing that happens. It is drawn before anything runs, so that a
// sequence is nothing but its ops, and can be run again without some of them.
type op struct {
	what string
	i    int           // the process
	user int           // the account
	n    int           // how many, or which
	d    time.Duration // how long
}

func (o op) String() string {
	return fmt.Sprintf("{%q, %d, %d, %d, %d}", o.what, o.i, o.user, o.n, o.d)
}

// A weather is a mixture of ops. In each sequence only some may happen: what is
// always there hides what takes long to come about.
var weathers = [][]string{
	{"fault", "fault", "outage"},       // the server fails
	{"lossy"},                          // … and answers are lost
	{"mistake"},                        // … or it refuses a good token
	{"disk", "disk", "disk"},           // the store fails
	{"fence"},                          // … or gives the exclusion to another
	{"lose"},                           // … or loses data
	{"crash"},                          //
	{"restart", "restart"},             //
	{"reject", "reject", "expire"},     // tokens are rejected early
	{"login", "login", "same", "both"}, // users log in
	{"forget"},                         //
	{"logout"},                         // … and out
	{"revoke"},                         // the server ends a session
	{"cancel"},                         //
}

// drawOps draws a sequence.
func drawOps(r *rand.Rand) []op {
	kinds := []string{"ask", "ask", "ask", "get", "busy", "pass", "pass", "pass", "heal"}
	for _, w := range weathers {
		if r.IntN(5) < 2 {
			kinds = append(kinds, w...)
		}
	}
	ops := make([]op, 20+r.IntN(30))
	users := 1 + r.IntN(4)/3
	for i := range ops {
		ops[i] = op{kinds[r.IntN(len(kinds))], r.IntN(2), r.IntN(users), r.IntN(1 << 16), drawTime(r)}
	}
	return ops
}

// drawTime draws short times as often as long ones.
func drawTime(r *rand.Rand) time.Duration {
	longest := []time.Duration{time.Second, 10 * time.Second, time.Minute, 5 * time.Minute}[r.IntN(4)]
	return time.Duration(r.Int64N(int64(longest))).Round(time.Millisecond)
}

// diskFaults are what may be wrong with the store.
var diskFaults = []diskFault{
	{step: "enter"}, {step: "load"}, {step: "save"}, {step: "save"}, {step: "saved"},
	{step: "save", slow: true}, {step: "load", slow: true},
	{step: "save", hangs: "heeds"}, {step: "save", hangs: "deaf"}, {step: "load", hangs: "heeds"}, {step: "load", hangs: "deaf"},
}

// do makes op happen, and waits until nothing moves but time.
func (m *machine) do(o op) {
	p, a := m.processes[o.i], m.model.accounts[o.user]
	m.model.mu.Lock()
	m.model.count["ops"]++
	m.model.trace("— %s %s %s %d %s", o.what, p, a.name, o.n, o.d)
	m.model.mu.Unlock()
	switch o.what {
	case "ask":
		for range 1 + o.n%3 {
			m.callers.Go(func() { p.token(a, 90*time.Second) })
		}
	case "get":
		m.callers.Go(func() { p.get(a, 90*time.Second) })
	case "busy": // somebody asks all the time
		m.callers.Go(func() {
			for range 30 {
				p.token(a, 5*time.Second)
				time.Sleep(min(o.d/30, time.Second))
			}
		})
	case "cancel":
		m.callers.Go(func() { p.token(a, min(o.d, time.Second)) })
	case "reject":
		m.callers.Go(func() { p.renew(a, 90*time.Second) })
	case "pass":
		time.Sleep(o.d)
	case "restart":
		p.stop(time.Minute + o.d)
		m.start(o.i)
	case "crash":
		p.kill("crash")
		m.start(o.i)
	case "login", "same", "both", "forget", "logout":
		m.account(p, a, o)
	case "expire", "revoke", "fault", "outage", "lossy", "mistake":
		m.atServer(a, o)
	default:
		m.atStore(p, a, o)
	}
	synctest.Wait()
}

// account is what users do. None imports an old token when a later login is under way:
// nobody could tell that from a login.
func (m *machine) account(p *process, a *user, o op) {
	within := 90 * time.Second
	time.Sleep(2 * time.Millisecond) // what orders logins is a clock of milliseconds
	switch o.what {
	case "forget":
		m.callers.Go(func() { p.forget(a, within) })
	case "logout":
		m.callers.Go(func() { p.logout(a, within) })
	case "same":
		if m.model.importing(a, a.latest()) {
			return
		}
		m.callers.Go(func() { p.importToken(a.latest(), within) })
	case "login":
		if m.model.importing(a, nil) {
			return
		}
		f := m.newLogin(a)
		m.callers.Go(func() { p.importToken(f, within) })
	case "both": // a fleet starts with a new token in its environment
		if m.model.importing(a, nil) {
			return
		}
		f := m.newLogin(a)
		for _, p := range m.processes {
			m.callers.Go(func() { p.importToken(f, within) })
		}
	}
}

// atServer is what happens there.
func (m *machine) atServer(a *user, o op) {
	m.model.mu.Lock()
	defer m.model.mu.Unlock()
	put := func(first, end, times int) {
		for range times {
			m.faults = append(m.faults, newServerFault(first+o.n%(end-first), o.d))
		}
	}
	switch o.what {
	case "expire":
		m.server.RevokeAllAccess()
	case "revoke":
		m.server.EndSession(a.name)
		for _, f := range a.logins {
			f.dead = "the server ended it"
		}
	case "fault":
		put(0, firstLossy, 1+o.n>>8%3)
	case "lossy":
		put(firstLossy, firstMistake, 1)
	case "mistake":
		put(firstMistake, serverFaults, 1)
	case "outage":
		m.outage = newServerFault(o.n%firstLossy, o.d)
		m.outage.until = time.Now().Add(o.d)
	}
}

// atStore is what happens there.
func (m *machine) atStore(p *process, a *user, o op) {
	switch o.what {
	case "disk":
		f := diskFaults[o.n%len(diskFaults)]
		f.until = time.Now().Add(o.d)
		m.shelf.setFault(f)
		m.model.mu.Lock()
		defer m.model.mu.Unlock()
		m.model.count[strings.TrimSpace(fmt.Sprint("store: ", f.step, " ", f.hangs))]++
	case "fence":
		m.model.mu.Lock()
		defer m.model.mu.Unlock()
		p.fenced = 1 + o.n%2
	case "heal":
		m.heal()
	case "lose":
		m.model.mu.Lock()
		defer m.model.mu.Unlock()
		switch {
		case a.key == "" || m.shelf.get(a.key) == nil:
		case o.n%4 == 0:
			m.model.lose(a, "record gone")
			m.shelf.put(a.key, nil)
		case o.n%4 == 1:
			m.model.lose(a, "record corrupt")
			m.shelf.put(a.key, []byte("{"))
		case m.shelf.rollBack(a.key, o.n%3):
			m.model.lose(a, "record rolled back")
		}
	}
}

// heal ends all faults.
func (m *machine) heal() {
	m.model.mu.Lock()
	defer m.model.mu.Unlock()
	m.faults, m.outage = nil, serverFault{}
	m.shelf.setFault(diskFault{})
}
