package testserver_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

func TestEndless(t *testing.T) {
	srv, c := newServer(t)
	for name, action := range map[string]testserver.Action{
		"plain": testserver.Endless(401),
		"gzip":  testserver.Gzip().Then(testserver.Endless(401)),
	} {
		srv.Inject(testserver.Match{}, 1, action)
		resp, err := c.Do(refreshRequest(srv, "rt"))
		if err != nil {
			t.Fatal(err)
		}
		want(t, "status", resp.StatusCode, 401)
		n, err := io.CopyN(io.Discard, resp.Body, 1<<20)
		if err != nil {
			t.Errorf("%s: after %d bytes: %v", name, n, err)
		}
		resp.Body.Close()
	}
}

func TestDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		srv.Inject(testserver.OnToken, 1, testserver.Drip(time.Second))
		start := time.Now()
		resp, err := c.Do(refreshRequest(srv, srv.BeginSession("alice").RefreshToken))
		if err != nil {
			t.Fatal(err)
		}
		want(t, "header after", time.Since(start), 0)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		want(t, "error", err, nil)
		want(t, "body after", time.Since(start), time.Duration(len(body))*time.Second)
		want(t, "last byte", body[len(body)-1], '}')
	})
}

func TestDripEndless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := newServer(t)
		srv.Inject(testserver.OnAPI, 1, testserver.Drip(time.Second).Then(testserver.Endless(401)))
		resp, err := c.Get(srv.APIURL("/"))
		if err != nil {
			t.Fatal(err)
		}
		io.CopyN(io.Discard, resp.Body, 1000)
		resp.Body.Close()
		synctest.Wait() // the server has noticed
	})
}

func TestGzip(t *testing.T) {
	srv, c := newServer(t)
	tokens := srv.BeginSession("alice")
	srv.Inject(testserver.Match{}, 2, testserver.Gzip())
	resp, err := c.Do(refreshRequest(srv, tokens.RefreshToken))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	want(t, "was compressed", resp.Uncompressed, true)
	want(t, "account", get(t, c, srv.APIURL("/"), tokens.AccessToken).text("account"), "alice")
}
