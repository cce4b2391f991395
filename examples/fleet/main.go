// Command fleet runs several worker processes over one session, which is kept in a
// database, and shows what happens when one of them is killed in the middle of a
// refresh.
//
//	go -C examples/fleet run .
//	go -C examples/fleet run . -v -store redis -dsn redis://127.0.0.1:6379/0
//
// It starts an authorization server and an API on this machine, and itself, once for
// each worker. Without flags the session is in a temporary SQLite file, and nothing
// else is needed. It takes some seconds, and leaves nothing behind in the database. A
// password in -dsn is seen by everybody on the machine, as all arguments are.
//
// The parts that a program of your own has are in worker.go and place.go. The module
// is one of its own for the drivers' sake.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	log.SetFlags(0)
	program := demo
	if text := os.Getenv(workerVar); text != "" {
		program = func() error { return work(text) }
	}
	if err := program(); err != nil {
		log.Fatal(err)
	}
}

func demo() error {
	p, verbose, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if p.DSN == "" {
		dir, err := os.MkdirTemp("", "freshet-fleet-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		p.DSN = filepath.Join(dir, "sessions")
	}
	if err := p.prepare(ctx); err != nil {
		return err
	}
	return errors.Join(run(ctx, p, verbose), p.clean())
}

// parse reads the flags.
func parse(args []string) (p place, verbose bool, err error) {
	flags := flag.NewFlagSet("fleet", flag.ExitOnError)
	flags.StringVar(&p.Store, "store", "sqlite", "where the session is kept: dir, sqlite, postgres, mariadb or redis")
	flags.StringVar(&p.DSN, "dsn", "", "the directory, the file, or how to connect; dir and sqlite have a temporary one if there is none")
	flags.BoolVar(&verbose, "v", false, "show who does what, and when")
	flags.Parse(args)
	if flags.NArg() > 0 {
		return p, verbose, fmt.Errorf("%q: there are flags only", flags.Arg(0))
	}
	return p.named(), verbose, p.check()
}
