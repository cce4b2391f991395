package client_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
)

// account returns whose request it was that resp answers, and closes resp.
func account(resp *http.Response) string {
	defer resp.Body.Close()
	var echo struct{ Account string }
	json.NewDecoder(resp.Body).Decode(&echo)
	return echo.Account
}

// newServer starts a server and a client of it, with a change to its
// configuration.
func newServer(t *testing.T, change func(*client.Config)) (*clienttest.Server, *client.Client) {
	t.Helper()
	srv := clienttest.NewServer()
	t.Cleanup(srv.Close)
	cfg := srv.Config()
	if change != nil {
		change(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return srv, c
}

// get sends a GET and returns the status, 0 for an error.
func get(t *testing.T, hc *http.Client, url string) (int, error) {
	t.Helper()
	resp, err := hc.Get(url)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}
