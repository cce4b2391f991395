package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/freshet-go/freshet/client"
)

// run works on jobs until ctx is over, and then ends in order: no job is taken
// any more, those under way are finished, and the session is closed, so that a
// refresh token which has just come is saved.
func run(ctx context.Context, set settings, ln net.Listener, jobs <-chan job, log *slog.Logger) error {
	counts := newMetrics()
	c, session, err := set.open(counts.observer(), log)
	if err != nil {
		ln.Close()
		return err
	}
	server := serve(ln, counts, session)
	err = begin(ctx, set, session)
	if err == nil {
		log.Info("working", "listen", ln.Addr().String(), "workers", set.Workers)
		newPool(set, session, counts, log).run(ctx, jobs)
	}
	closing, cancel := context.WithTimeout(context.Background(), set.Grace)
	defer cancel()
	return errors.Join(err, c.Close(closing), server.Shutdown(closing))
}

// begin imports the refresh token that the worker was given. Without one the
// session is the one in the store; if there is none yet, jobs wait for a login.
func begin(ctx context.Context, set settings, session *client.Session) error {
	tok := set.token()
	if tok == nil {
		return nil
	}
	return session.Import(ctx, tok)
}

// serve answers /healthz and /metrics until it is shut down.
func serve(ln net.Listener, counts *metrics, session *client.Session) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", healthz(session))
	mux.Handle("GET /metrics", counts)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(ln)
	return server
}
