package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/freshet-go/freshet/client/clienttest"
)

// A demonstration is the world around a fleet: its servers, the user who signs in, the
// fate that befalls the workers.
type demonstration struct {
	*fleet
	srv   *clienttest.Server
	set   settings
	steps int
}

// size is how many workers there are.
const size = 4

func run(ctx context.Context, p place, verbose bool) (err error) {
	srv := clienttest.NewLoopbackServer()
	defer srv.Close()
	set := settings{Place: p, Issuer: srv.Config().Issuer, TokenURL: srv.TokenURL(), API: srv.APIURL("")}
	f, err := newFleet(set, verbose)
	if err != nil {
		return err
	}
	d := &demonstration{fleet: f, srv: srv, set: set}
	fmt.Println("An authorization server and an API run on this machine. A refresh token works once,")
	fmt.Printf("and using it twice ends the session. %d worker processes share one session, which is\n", size)
	fmt.Printf("kept in %s, and call the API all the time.\n", p.kind().title)
	if err := d.signIn(ctx); err != nil {
		return err
	}
	defer func() {
		_, late := d.end() // those that an error has left
		err = errors.Join(err, late, d.forgetSession())
	}()
	for _, scene := range []func(context.Context) error{
		d.begin, d.revokedToken, d.expiry, d.killed, d.replacement, d.revokedAgain, d.goHome,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step begins a scene.
func (d *demonstration) step(what string) {
	d.steps++
	fmt.Printf("\n%d. %s\n", d.steps, what)
	d.forget()
}

func (d *demonstration) signIn(ctx context.Context) error {
	d.step("Somebody signs in.")
	c, closeStore, err := d.set.open(nil, nil)
	if err != nil {
		return err
	}
	return errors.Join(d.srv.SignIn(ctx, c.Session(account)), c.Close(ctx), closeStore())
}

func (d *demonstration) begin(ctx context.Context) error {
	d.step(fmt.Sprintf("%d workers start.", size))
	for range size {
		if err := d.launch(); err != nil {
			return err
		}
	}
	return d.showWork(ctx)
}

func (d *demonstration) revokedToken(ctx context.Context) error {
	d.step("The server revokes the access token early.")
	d.srv.SetPolicy(clienttest.Policy{AccessLifetime: 3 * time.Second}) // the next one is for the next scene
	d.srv.RevokeAccessTokens()
	return d.showRefresh(ctx)
}

func (d *demonstration) expiry(ctx context.Context) error {
	d.step("The new one lives for 3 seconds. It is refreshed ahead of its expiry.")
	d.srv.SetPolicy(clienttest.Policy{}) // from now on they live for an hour
	return d.showRefresh(ctx)
}

// killed kills a worker while the server has its request and has not acted on it. Had
// the server acted, its new refresh token would have died with the worker, and the
// session with it: no client can help that.
func (d *demonstration) killed(ctx context.Context) error {
	d.step("The server revokes that one too, and is slow. The worker that waits for its answer\n   is killed.")
	before := d.srv.Stats().TokenRequests
	d.srv.FailToken(1, clienttest.Hang())
	d.srv.RevokeAccessTokens()
	var victim *worker
	err := d.await(ctx, "a request for a token", func() bool {
		victim = d.last[asking]
		return victim != nil && d.srv.Stats().TokenRequests > before
	})
	if err != nil {
		return err
	}
	if err := d.kill(victim); err != nil {
		return err
	}
	if d.set.Place.leased() {
		fmt.Printf("   It had the session for %s, and is given %s more: for all that the others\n", lease, settle)
		fmt.Println("   know it lives, and tries to save a new token. Their requests wait.")
	} else {
		fmt.Println("   The system frees its lock.")
	}
	return d.showRefresh(ctx)
}

func (d *demonstration) replacement(ctx context.Context) error {
	d.step("A replacement starts.")
	if err := d.launch(); err != nil {
		return err
	}
	return d.showWork(ctx)
}

func (d *demonstration) revokedAgain(ctx context.Context) error {
	d.step("The server revokes the access token once more.")
	d.srv.RevokeAccessTokens()
	return d.showRefresh(ctx)
}

// enough is how many requests there are at the end, at least.
const enough = 300

func (d *demonstration) goHome(ctx context.Context) error {
	d.step("The workers are told to end.")
	if err := d.await(ctx, "more requests", func() bool { return d.all[answered] > enough }); err != nil {
		return err
	}
	inOrder, err := d.end()
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	stats := d.srv.Stats()
	fmt.Printf("   Workers: %d started, 1 killed, %d ended in order.\n", d.started, inOrder)
	fmt.Printf("   Requests: %s, %d failed.\n", d.number(d.all[answered]), d.all[failed])
	fmt.Printf("   Refreshes: %d. Refresh tokens sent again after use: %d.\n", stats.Refreshes, stats.Reused)
	fmt.Printf("   Lost sessions: %d.\n", d.all[lost])
	return nil
}

// number is a number of requests: how many there are is no two times the same.
func (d *demonstration) number(n int) string {
	if d.verbose {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("more than %d", enough)
}

// showWork waits until every worker has had some answers.
func (d *demonstration) showWork(ctx context.Context) error {
	err := d.await(ctx, "answers to every worker", func() bool {
		for w := range d.workers {
			if w.answered < 5 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	fmt.Printf("   %s\n   Refreshes: %d.\n", d.verdict(), d.count(refreshed))
	return nil
}

// showRefresh waits until every worker has a new token.
func (d *demonstration) showRefresh(ctx context.Context) error {
	err := d.await(ctx, "a new token for every worker", func() bool {
		return d.counts[refreshed]+d.counts[adopted] >= len(d.workers)
	})
	if err != nil {
		return err
	}
	fmt.Printf("   %s\n   Refreshed by %d worker, adopted by %d.\n", d.verdict(), d.count(refreshed), d.count(adopted))
	return nil
}

// verdict says how the requests went.
func (d *demonstration) verdict() string {
	if n := d.count(failed); n > 0 {
		return fmt.Sprintf("%d requests failed.", n)
	}
	return "Every request was answered 200."
}

// forgetSession takes the session out of the store.
func (d *demonstration) forgetSession() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, closeStore, err := d.set.open(nil, nil)
	if err != nil {
		return err
	}
	return errors.Join(c.Session(account).Forget(ctx), c.Close(ctx), closeStore())
}
