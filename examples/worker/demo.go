package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/tokenstore"
)

// A demonstration is the world around a worker: its servers, the queue that it
// pulls jobs from, the operator who looks at it, the user who signs in.
type demonstration struct {
	srv   *clienttest.Server
	set   settings
	jobs  chan job
	url   string // of the worker's own server
	log   *logbook
	ended chan error // what became of the worker
	stop  func()     // ends it
	steps int
}

const account = "reports@example.com"

// demo shows what happens in a worker's life, and ends it with a SIGTERM.
func demo(ctx context.Context) error {
	srv := clienttest.NewLoopbackServer()
	defer srv.Close()
	dir, err := os.MkdirTemp("", "freshet-worker-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	key, err := tokenstore.GenerateSealKey("demo")
	if err != nil {
		return err
	}
	d := &demonstration{srv: srv, jobs: make(chan job, 100), log: new(logbook), ended: make(chan error, 1), set: settings{
		Client: srv.Config(), Account: account, Dir: dir, SealKeys: []tokenstore.SealKey{key},
		API: srv.APIURL("/v1/report"), Workers: 4,
		JobTimeout: 10 * time.Second, Retry: 50 * time.Millisecond, Grace: 5 * time.Second,
	}}
	fmt.Println("An authorization server and an API run on this machine. A worker does four jobs at")
	fmt.Println("a time; its session is kept in a directory, encrypted. An operator looks at its")
	fmt.Println("/healthz and /metrics.")
	if err := d.run(ctx); err != nil {
		return fmt.Errorf("%w\nThe log of the worker:\n%s", err, d.log)
	}
	return nil
}

func (d *demonstration) run(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{
		d.start, d.outageEnds, d.expiry, d.revokedToken, d.noToken, d.revokedSession, d.metrics, d.sigterm,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// launch starts the worker, as work does.
func (d *demonstration) launch(ctx context.Context) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.url = "http://" + ln.Addr().String()
	ctx, d.stop = context.WithCancel(ctx)
	go func() { d.ended <- run(ctx, d.set, ln, d.jobs, slog.New(slog.NewTextHandler(d.log, nil))) }()
	return nil
}

// signIn is what another process does, in which a user signs in: it puts a new
// session into the store. It returns the refresh token.
func (d *demonstration) signIn(ctx context.Context) (refreshToken tokenstore.Secret, err error) {
	c, session, err := d.set.open(nil, nil)
	if err != nil {
		return refreshToken, err
	}
	tok := d.srv.NewToken(account)
	return tokenstore.NewSecret(tok.RefreshToken), errors.Join(session.Import(ctx, tok), c.Close(ctx))
}

// age makes the access token in the store as old as if 58 minutes had passed of
// its hour. It is for this demonstration, in which nobody waits that long.
func (d *demonstration) age(ctx context.Context) error {
	store, err := d.set.store()
	if err != nil {
		return err
	}
	for key, err := range tokenstore.Keys(ctx, store) {
		if err != nil {
			return err
		}
		err = store.Update(ctx, key, func(_ context.Context, old []byte) ([]byte, error) {
			rec, err := tokenstore.DecodeRecord(old)
			if err != nil {
				return nil, err
			}
			tok, _ := rec.Token("")
			tok.Issued = tok.Issued.Add(-58 * time.Minute)
			tok.Expiry = tok.Issued.Add(time.Hour)
			rec.SetToken(tok)
			return rec.Encode()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *demonstration) step(what string) {
	d.steps++
	fmt.Printf("\n%d. %s\n", d.steps, what)
}
