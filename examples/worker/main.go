// Command worker is a program that works in the background for months: it pulls
// jobs, calls an API for each, and keeps its session in a directory.
//
// Without arguments it runs offline for a few seconds. It starts an authorization
// server and an API on this machine, and lets happen to a worker what happens in
// its life:
//
//	go run ./examples/worker
//
// With flags it runs for real, and asks the API for the same URL again and again.
// Secrets come from the environment, because arguments are seen by everybody:
//
//	REFRESH_TOKEN=… CLIENT_SECRET=… SEAL_KEYS="2026-03=$(openssl rand -base64 32)" \
//	go run ./examples/worker -issuer https://auth.example.com -token-url https://auth.example.com/token \
//		-client-id my-worker -api https://api.example.com/v1/jobs -store /var/lib/my-worker
//
// REFRESH_TOKEN is imported at every start; the same one again changes nothing.
// Another one begins another session, so take an old one away when somebody has
// signed in by other means. SEAL_KEYS may hold several keys, the first one seals;
// keep them, or the session is lost.
package main

import (
	"context"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	program := work
	if len(os.Args) == 1 {
		program = demo
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the program at once
	if err := program(ctx); err != nil {
		log.Fatal(err)
	}
}

// work is the worker for real.
func work(ctx context.Context) error {
	set, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", set.Listen)
	if err != nil {
		return err
	}
	jobs := make(chan job)
	go schedule(ctx, jobs, set.API, set.Every)
	return run(ctx, set, ln, jobs, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// schedule stands for a queue: it has a job every so often, until ctx is over. One
// that failed does not come back, because the next is the same.
func schedule(ctx context.Context, jobs chan<- job, url string, every time.Duration) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case jobs <- job{url: url, done: func(error) {}}:
		}
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}
