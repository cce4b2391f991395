package testserver_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

func TestHold(t *testing.T) {
	srv, c := newServer(t)
	gate := srv.Hold(testserver.OnToken)
	var statuses sync.Map
	var wg sync.WaitGroup
	for i := range 5 {
		rt := srv.BeginSession("alice").RefreshToken
		wg.Go(func() {
			r, _ := send(c, refreshRequest(srv, rt))
			statuses.Store(i, r.status)
		})
	}
	if err := gate.Wait(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	want(t, "waiting", gate.Waiting(), 5)
	want(t, "token requests", srv.Log().TokenRequests(), 5)
	want(t, "refreshes", srv.Log().Refreshes(), 0)
	gate.Step(2)
	want(t, "waiting after a step", gate.Waiting(), 3)
	gate.Release()
	wg.Wait()
	statuses.Range(func(_, status any) bool { want(t, "status", status, any(200)); return true })
	want(t, "refreshes", srv.Log().Refreshes(), 5)
	wantStatus(t, refresh(t, srv, c, srv.BeginSession("bob").RefreshToken), 200)
}

func TestHoldAnswers(t *testing.T) {
	srv, c := newServer(t)
	tokens := srv.BeginSession("alice")
	srv.RevokeAllAccess()
	late := srv.HoldAnswers(testserver.OnAPI)
	done := make(chan int)
	go func() {
		r, _ := send(c, apiRequest("GET", srv.APIURL("/"), tokens.AccessToken, nil))
		done <- r.status
	}()
	if err := late.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, refresh(t, srv, c, tokens.RefreshToken), 200)
	late.Release()
	want(t, "late answer", <-done, 401)
}

func TestGateAndInjection(t *testing.T) {
	srv, c := newServer(t)
	before, after := srv.Hold(testserver.OnAPI), srv.HoldAnswers(testserver.OnAPI)
	srv.Inject(testserver.OnAPI, 1, testserver.Status(503))
	done := make(chan int)
	go func() {
		r, _ := send(c, apiRequest("GET", srv.APIURL("/"), "", nil))
		done <- r.status
	}()
	before.Wait(t.Context(), 1)
	want(t, "waiting for the answer", after.Waiting(), 0)
	before.Release()
	after.Wait(t.Context(), 1)
	after.Release()
	want(t, "status", <-done, 503)
}

func TestGateWaitGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, _ := newServer(t)
		gate := srv.Hold(testserver.OnToken)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		want(t, "gave up", errors.Is(gate.Wait(ctx, 1), context.DeadlineExceeded), true)
	})
}

func TestGateOfClosedServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		srv.Hold(testserver.OnToken)
		done := make(chan error)
		go func() {
			_, err := send(c, refreshRequest(srv, "rt"))
			done <- err
		}()
		synctest.Wait()
		srv.Close()
		if err := <-done; err == nil {
			t.Error("answered")
		}
	})
}
