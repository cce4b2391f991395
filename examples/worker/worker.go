package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/transport"
)

// A job is one piece of work: a request to the API.
type job struct {
	url  string
	done func(error) // called once; with an error, the queue has the job back
}

// A pool is workers that take jobs and call the API with the session's token.
type pool struct {
	workers      int
	retry, grace time.Duration
	api          *http.Client
	counts       *metrics
	log          *slog.Logger
	paused       atomic.Bool // the log says so
}

func newPool(set settings, session *client.Session, counts *metrics, log *slog.Logger) *pool {
	api := session.HTTPClient()
	api.Timeout = set.JobTimeout
	return &pool{workers: set.Workers, retry: set.Retry, grace: set.Grace, api: api, counts: counts, log: log}
}

// run works on jobs until ctx is over or jobs is closed. Requests that are under
// way when ctx ends go on, for the grace time at the most.
func (p *pool) run(ctx context.Context, jobs <-chan job) {
	underWay, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var wg sync.WaitGroup
	for range p.workers {
		wg.Go(func() { p.work(ctx, underWay, jobs) })
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		p.log.Info("stopping: jobs under way are finished, no other is begun")
		defer time.AfterFunc(p.grace, cut).Stop()
		<-ended
	}
}

// work is one worker.
func (p *pool) work(ctx, underWay context.Context, jobs <-chan job) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case j, ok := <-jobs:
			if !ok {
				return
			}
			err := p.do(ctx, underWay, j)
			p.counts.job(err)
			j.done(err)
		}
	}
}

// do does one job. That there is no token for it is no failure of the job: it
// waits here until there is one. Each try costs a look into the store, where
// another process may have put a new login, and no request to anybody. If ctx
// ends first the job goes back into the queue.
func (p *pool) do(ctx, underWay context.Context, j job) error {
	for {
		err := p.request(underWay, j.url)
		var noToken *transport.RefreshError
		if !errors.As(err, &noToken) {
			p.goOn()
			return err
		}
		if err := p.pause(ctx, noToken); err != nil {
			return err
		}
	}
}

// request calls the API. Its error is a *transport.RefreshError if there is no
// token, or none that the API takes.
func (p *pool) request(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := p.api.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := transport.RefreshErrorOf(resp); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the API answered %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body) // a job of your own does something with it
	return err
}

// pause waits before the next try. The first worker that has to wait says so.
func (p *pool) pause(ctx context.Context, why *transport.RefreshError) error {
	if !p.paused.Swap(true) {
		if errors.Is(why, client.ErrLoginRequired) {
			p.log.Error("jobs are paused until somebody signs in", "err", why)
		} else {
			p.log.Warn("jobs are paused until there is a token", "err", why)
		}
	}
	select {
	case <-time.After(p.retry):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopped while waiting for a token: %w", why)
	}
}

// goOn says that there is a token again.
func (p *pool) goOn() {
	if p.paused.Load() && p.paused.Swap(false) {
		p.log.Info("jobs go on")
	}
}
