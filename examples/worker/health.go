package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/transport"
)

// health says whether the worker can do its jobs, and in a line why not, or what
// is not as it should be.
//
//   - Healthy: there is a token, or the next job gets one, as far as is known.
//   - Degraded, and healthy still: refreshing or saving fails, and the token at
//     hand works. It mends itself, or somebody has until the token's expiry.
//   - Not healthy: there is no token, or the session is over. To start the worker
//     anew helps in neither case, so this is for alarms and readiness probes, and
//     not for a probe that kills.
func health(st transport.Status) (code int, reason string) {
	over := errors.Is(st.Err, client.ErrLoginRequired)
	switch {
	case over && hasToken(st):
		return http.StatusServiceUnavailable, "login required: jobs go on until the token expires"
	case over:
		return http.StatusServiceUnavailable, "login required: jobs are paused"
	case st.Err != nil && !hasToken(st):
		return http.StatusServiceUnavailable, "no token: refreshing fails"
	case st.Err != nil:
		return http.StatusOK, "degraded: refreshing fails, the last token still works"
	case st.Unsaved:
		return http.StatusOK, "degraded: the newest token is not saved, a restart would lose it"
	case st.BreakerOpen:
		return http.StatusOK, "degraded: an API rejects every new token"
	}
	return http.StatusOK, "ok"
}

func hasToken(st transport.Status) bool {
	return st.State == transport.StateFresh || st.State == transport.StateStale
}

// healthz answers health's line, and then what there is to know. None of it is
// secret, but it is nobody's business either: serve it where only your own
// machines reach it.
func healthz(session *client.Session) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		st := session.Status()
		code, reason := health(st)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		fmt.Fprintf(w, "%s\nstate: %s\n", reason, st.State)
		if hasToken(st) && !st.Expiry.IsZero() {
			fmt.Fprintf(w, "token expires: %s\n", st.Expiry.UTC().Format(time.RFC3339))
		}
		if st.Err != nil {
			fmt.Fprintf(w, "failures: %d\nlast error: %v\nnext try in: %s\n", st.Failures, st.Err, st.RetryAfter.Round(time.Second))
		}
	}
}
