package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/freshet-go/freshet/client/clienttest"
)

func (d *demonstration) start(ctx context.Context) (err error) {
	d.step("Somebody signed in an hour ago. The worker starts, and the token endpoint is down.")
	if d.set.RefreshToken, err = d.signIn(ctx); err != nil {
		return err
	}
	if err := d.age(ctx); err != nil {
		return err
	}
	d.srv.FailToken(clienttest.Always, clienttest.Status(503))
	if err := d.launch(ctx); err != nil {
		return err
	}
	fmt.Printf("   20 jobs: %s, with the token of an hour ago.\n", d.give(20)())
	return d.showHealth("200 degraded")
}

func (d *demonstration) outageEnds(context.Context) error {
	d.step("The token endpoint is back. From now on it says that tokens live for 3 seconds.")
	d.srv.SetPolicy(clienttest.Policy{Members: map[string]string{"expires_in": "3"}})
	d.srv.ClearFaults()
	err := eventually("a refresh", func() bool {
		d.give(1)()
		time.Sleep(50 * time.Millisecond) // the refresh goes on behind the job
		return d.srv.Stats().Refreshes > 0
	})
	d.srv.SetPolicy(clienttest.Policy{}) // the next one lives for an hour
	if err != nil {
		return err
	}
	fmt.Printf("   Refreshes: %d.\n", d.srv.Stats().Refreshes)
	return d.showHealth("200 ok")
}

func (d *demonstration) expiry(context.Context) error {
	d.step("Jobs go on for longer than the token lives.")
	d.srv.ResetStats()
	failed := 0
	for range 35 {
		if d.give(1)() != allDone {
			failed++
		}
		time.Sleep(100 * time.Millisecond)
	}
	n := d.srv.Stats()
	fmt.Printf("   35 jobs: %d failed, %d answered 401. Refreshes: %d, ahead of the expiry.\n", failed, n.Unauthorized, n.Refreshes)
	return nil
}

func (d *demonstration) revokedToken(context.Context) error {
	d.step("The server revokes the access token early.")
	d.srv.ResetStats()
	d.srv.RevokeAccessTokens()
	fmt.Printf("   20 jobs: %s. ", d.give(20)())
	n := d.srv.Stats()
	fmt.Printf("Some were answered 401 first: %t. Refreshes: %d.\n", n.Unauthorized > 0, n.Refreshes)
	return nil
}

func (d *demonstration) noToken(context.Context) error {
	d.step("The server revokes the access token, and the token endpoint is down.")
	d.srv.ResetStats()
	d.srv.FailToken(clienttest.Always, clienttest.Status(503))
	d.srv.RevokeAccessTokens()
	wait := d.give(4)
	if err := d.showHealth("503 no token"); err != nil {
		return err
	}
	if err := d.showLog("jobs are paused until there is a token"); err != nil {
		return err
	}
	fmt.Println("   The token endpoint is back.")
	d.srv.ClearFaults()
	fmt.Printf("   The 4 jobs that waited: %s. Refreshes: %d.\n", wait(), d.srv.Stats().Refreshes)
	return nil
}

func (d *demonstration) revokedSession(ctx context.Context) error {
	d.step("The server ends the session: refresh token and access token.")
	d.srv.RevokeSession(account)
	wait := d.give(4)
	if err := d.showHealth("503 login required"); err != nil {
		return err
	}
	if err := d.showLog("jobs are paused until somebody signs in"); err != nil {
		return err
	}
	fmt.Println("   Somebody signs in, with a client of its own on the same directory, as another")
	fmt.Println("   process would.")
	if _, err := d.signIn(ctx); err != nil {
		return err
	}
	fmt.Printf("   The 4 jobs that waited: %s.\n", wait())
	return d.showHealth("200 ok")
}

func (d *demonstration) metrics(context.Context) error {
	d.step("What /metrics has counted, among other things.")
	for _, line := range []string{
		`freshet_refreshes_total{outcome="exchanged"} 4`,
		`freshet_refreshes_total{outcome="unsaved"} 0`,
		`freshet_save_failures_total 0`,
		`freshet_login_required_total 1`,
		`worker_jobs_total{result="failed"} 0`,
	} { // an event may come after the job that it is about
		err := eventually(line, func() bool { return strings.Contains(d.get("/metrics"), "\n"+line+"\n") })
		if err != nil {
			return fmt.Errorf("%w; there is:\n%s", err, d.get("/metrics"))
		}
		fmt.Printf("   %s\n", line)
	}
	return nil
}

func (d *demonstration) sigterm(context.Context) error {
	d.step("There are 10 jobs in the queue when a SIGTERM comes.")
	d.srv.FailAPI(4, clienttest.Delay(200*time.Millisecond))
	results := make(chan error, 10)
	for range 10 {
		d.jobs <- job{d.set.API, func(err error) {
			d.log.await("stopping") // so that no worker takes another before it is told
			results <- err
		}}
	}
	if err := eventually("four jobs under way", func() bool { return len(d.jobs) == 6 }); err != nil {
		return err
	}
	if err := d.terminate(); err != nil {
		return err
	}
	if err := <-d.ended; err != nil {
		return err
	}
	fmt.Printf("   Under way, and finished: %d. Left in the queue: %d. The session is closed, and the\n   worker has ended without an error.\n", countNil(results), len(d.jobs))
	return nil
}
