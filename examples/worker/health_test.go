package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/freshet-go/freshet/transport"
)

func TestHealth(t *testing.T) {
	down := &transport.RefreshError{Kind: transport.Transient, Err: errors.New("503")}
	over := &transport.RefreshError{Kind: transport.LoginRequired}
	for _, test := range []struct {
		st   transport.Status
		code int
		want string // what the reason begins with
	}{
		{transport.Status{State: transport.StateUnknown}, http.StatusOK, "ok"}, // no job has come yet
		{transport.Status{State: transport.StateFresh}, http.StatusOK, "ok"},
		{transport.Status{State: transport.StateStale}, http.StatusOK, "ok"},
		{transport.Status{State: transport.StateExpired}, http.StatusOK, "ok"}, // the next job refreshes it
		{transport.Status{State: transport.StateStale, Err: down}, http.StatusOK, "degraded: refreshing"},
		{transport.Status{State: transport.StateFresh, Unsaved: true}, http.StatusOK, "degraded: the newest"},
		{transport.Status{State: transport.StateFresh, BreakerOpen: true}, http.StatusOK, "degraded: an API"},
		{transport.Status{State: transport.StateExpired, Err: down}, http.StatusServiceUnavailable, "no token"},
		{transport.Status{State: transport.StateUnknown, Err: down}, http.StatusServiceUnavailable, "no token"},
		{transport.Status{State: transport.StateLoginRequired, Err: over}, http.StatusServiceUnavailable, "login required: jobs are paused"},
		{transport.Status{State: transport.StateStale, Err: over}, http.StatusServiceUnavailable, "login required: jobs go on"},
	} {
		code, reason := health(test.st)
		if code != test.code || !strings.HasPrefix(reason, test.want) {
			t.Errorf("health(%+v) = %d %q, want %d %q", test.st, code, reason, test.code, test.want)
		}
	}
}
