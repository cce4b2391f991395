package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/freshet-go/freshet/transport"
)

// A family is the metrics of one name, as Prometheus has it.
type family struct {
	name, kind, help string
	series           []string // labels or suffixes, behind the name
}

// families are all that is counted, in the order in which they are served. Every
// series is there from the start, at zero: what comes into being with its first
// event has no rate.
func families() []family {
	return []family{
		{"freshet_refreshes_total", "counter", "Refreshes, by how they ended.", outcomes()},
		{"freshet_refresh_duration_seconds", "summary", "How long refreshes took.", []string{"_sum", "_count"}},
		{"freshet_refresh_waiters_total", "counter", "Requests that waited for a refresh.", []string{""}},
		{"freshet_rejected_total", "counter", "Requests with a token that were answered 401.", []string{""}},
		{"freshet_save_failures_total", "counter", "New tokens that could not be saved, by try.", []string{""}},
		{"freshet_login_required_total", "counter", "Refreshes that found the session over.", []string{""}},
		{"worker_jobs_total", "counter", "Jobs, by how they ended.", []string{`{result="done"}`, `{result="failed"}`}},
	}
}

func outcomes() []string {
	return []string{
		refreshes(transport.OutcomeExchanged), refreshes(transport.OutcomeAdopted),
		refreshes(transport.OutcomeUnsaved), refreshes(transport.OutcomeFailed),
	}
}

func refreshes(o transport.Outcome) string { return fmt.Sprintf("{outcome=%q}", string(o)) }

// metrics counts. It is safe for concurrent use.
type metrics struct {
	mu     sync.Mutex         // guards values
	values map[string]float64 // by the whole name of the series
}

func newMetrics() *metrics {
	m := &metrics{values: make(map[string]float64)}
	for _, f := range families() {
		for _, s := range f.series {
			m.values[f.name+s] = 0
		}
	}
	return m
}

func (m *metrics) add(series string, n float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[series] += n
}

// job counts a job that ended with err.
func (m *metrics) job(err error) {
	if err != nil {
		m.add(`worker_jobs_total{result="failed"}`, 1)
		return
	}
	m.add(`worker_jobs_total{result="done"}`, 1)
}

// observer counts what happens to the session. No account is a label: there may
// be many, and they are names of people.
func (m *metrics) observer() *transport.Observer {
	return &transport.Observer{
		RefreshEnded: func(e transport.RefreshEnded) {
			m.add("freshet_refreshes_total"+refreshes(e.Outcome), 1)
			m.add("freshet_refresh_duration_seconds_sum", e.Duration.Seconds())
			m.add("freshet_refresh_duration_seconds_count", 1)
			m.add("freshet_refresh_waiters_total", float64(e.Waiters))
		},
		Rejected:      func(transport.Rejected) { m.add("freshet_rejected_total", 1) },
		SaveFailed:    func(transport.SaveFailed) { m.add("freshet_save_failures_total", 1) },
		LoginRequired: func(transport.LoginRequiredEvent) { m.add("freshet_login_required_total", 1) },
	}
}

// ServeHTTP answers in the text format of Prometheus, version 0.0.4.
func (m *metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprint(w, m)
}

func (m *metrics) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, f := range families() {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %[1]s %[3]s\n", f.name, f.help, f.kind)
		for _, s := range slices.Sorted(slices.Values(f.series)) {
			fmt.Fprintf(&b, "%s%s %s\n", f.name, s, strconv.FormatFloat(m.values[f.name+s], 'g', -1, 64))
		}
	}
	return b.String()
}
