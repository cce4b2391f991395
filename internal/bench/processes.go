package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
)

// A fleet is some processes that share one session, at a server whose refresh tokens work
// once.
type fleet struct {
	processes int
	length    time.Duration
	lifetime  time.Duration // of an access token
	every     time.Duration // a request is sent by a process
}

// manyProcesses is the one that is measured.
var manyProcesses = fleet{processes: 8, length: 6 * time.Second, lifetime: time.Second, every: 100 * time.Millisecond}

// sharing are the libraries that leave a program a place for a session to share.
var sharing = map[string]sharer{
	"x/oauth2": {oauth2File, oauth2Client},
	"Freshet":  {freshetDir, freshetClient},
}

// A sharer is how a program shares a session with a library.
type sharer struct {
	sign func(srv *clienttest.Server, dir string) error // what a login leaves in dir
	open func(o order) (sender, error)
}

// account is whose session it is.
const account = "alice"

// run returns how often the server refused a refresh token, and how many processes still
// work at the end.
func (f fleet) run(name string) (refused, working int, err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	srv := clienttest.NewLoopbackServer()
	defer srv.Close()
	srv.SetPolicy(clienttest.Policy{AccessLifetime: f.lifetime, Latency: 50 * time.Millisecond})
	if err := sharing[name].sign(srv, dir); err != nil {
		return 0, 0, err
	}
	o := order{
		Library: name, Dir: dir, API: srv.APIURL("/v1/me"), Issuer: srv.Config().Issuer, Token: srv.TokenURL(),
		Length: f.length, Early: f.lifetime / 4, Every: f.every,
	}
	working, err = f.start(o)
	stats := srv.Stats()
	return stats.TokenRequests - stats.Refreshes, working, err
}

// start runs the processes, and returns how many say at their end that they work.
func (f fleet) start(o order) (working int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), f.length+20*time.Second)
	defer cancel()
	said := make([]error, f.processes)
	var wg sync.WaitGroup
	for i := range said {
		wg.Go(func() { said[i] = launch(ctx, o) })
	}
	wg.Wait()
	for _, err := range said {
		if err == nil {
			working++
		}
	}
	if working == 0 {
		err = cmp.Or(said...)
	}
	return working, err
}

// launch runs a process to its end, which comes with ctx at the latest. Its error is the
// last word of one that does not work.
func launch(ctx context.Context, o order) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), workerVar+"="+string(text))
	var last bytes.Buffer
	cmd.Stderr = &last
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(last.Bytes()))
	}
	return nil
}

const tokenFile = "token.json"

// oauth2File is where programs with x/oauth2 keep a token: the library leaves it to them.
func oauth2File(srv *clienttest.Server, dir string) error {
	return writeToken(dir, srv.NewToken(account))
}

func writeToken(dir string, tok *oauth2.Token) error {
	text, err := json.Marshal(tok)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, tokenFile), text, 0o600)
}

func readToken(dir string) (*oauth2.Token, error) {
	text, err := os.ReadFile(filepath.Join(dir, tokenFile))
	if err != nil {
		return nil, err
	}
	tok := new(oauth2.Token)
	return tok, json.Unmarshal(text, tok)
}

func freshetDir(srv *clienttest.Server, dir string) error {
	cfg := srv.Config()
	cfg.Store = tokenstore.Dir(dir)
	c, err := client.New(cfg)
	if err != nil {
		return err
	}
	if err := srv.SignIn(context.Background(), c.Session(account)); err != nil {
		return err
	}
	return c.Close(context.Background())
}

func processTable(*figures) table {
	f := manyProcesses
	title := fmt.Sprintf("%d processes share a session for %v, access tokens of %v, refresh tokens work once", f.processes, f.length, f.lifetime)
	t := table{title: title, head: names()}
	row := []any{"invalid_grant / processes that work at the end"}
	for _, p := range peers {
		cell := "–"
		if _, ok := sharing[p.name]; ok {
			cell = f.cell(p.name)
		}
		row = append(row, cell)
	}
	t.add(row...)
	return t
}

func (f fleet) cell(name string) string {
	refused, working, err := f.run(name)
	if err != nil && working == 0 && refused == 0 {
		return err.Error() // the processes did not get as far as the server
	}
	return fmt.Sprintf("%d / %d", refused, working)
}
