//go:build unix

package storetests_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/transport"
)

// workerHeader names, in every request, the process that sends it.
const workerHeader = "X-Worker"

// account is whose session a fleet has.
const account = "alice"

// A fleetJob is the part of a worker that calls an API all the time.
type fleetJob struct {
	Issuer, TokenURL, APIURL string
	RefreshTimeout           time.Duration
	Pause                    time.Duration // between two calls
	DPoP                     bool          // tokens are bound to a key
}

// config returns that of a client of the fleet, but for its store.
func (j fleetJob) config(name string) client.Config {
	cfg := client.Config{
		Issuer: j.Issuer, Endpoint: oauth2.Endpoint{TokenURL: j.TokenURL}, ClientID: "app",
		RefreshTimeout: j.RefreshTimeout,
		TokenHeader:    http.Header{workerHeader: {name}},
	}
	if j.DPoP {
		cfg.DPoP = new(client.DPoP)
	}
	return cfg
}

// A tally is what one worker, or all of them, did.
type tally struct {
	Calls     int
	Rejected  int    // calls that failed because of a login that is needed
	Failed    int    // calls that failed otherwise
	Error     string // of the first of those
	Exchanged int    // refreshes that brought a new token from the server
	Adopted   int    // refreshes that found one in the store
}

func (c *tally) add(o tally) {
	c.Calls += o.Calls
	c.Rejected += o.Rejected
	c.Failed += o.Failed
	c.Exchanged += o.Exchanged
	c.Adopted += o.Adopted
	if c.Error == "" {
		c.Error = o.Error
	}
}

// fleet calls the API until the parent says that it is enough.
func (w *worker) fleet() {
	cfg := w.job.Fleet.config(w.job.Name)
	cfg.Store = w.store
	ended := make(chan transport.Outcome, 1<<16)
	cfg.Observer = &transport.Observer{RefreshEnded: func(e transport.RefreshEnded) { ended <- e.Outcome }}
	c, err := client.New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	var total tally
	<-w.told
	for hc := c.Session(account).HTTPClient(); ; {
		total.call(hc, w.job)
		select {
		case <-w.told:
			ctx, cancel := context.WithTimeout(context.Background(), patience/2)
			defer cancel()
			if err := c.Close(ctx); err != nil {
				w.say("Close: %v", err)
				return
			}
			close(ended)
			total.count(ended)
			text, _ := json.Marshal(total)
			w.say("ended %s", text)
			return
		case <-time.After(w.job.Fleet.Pause):
		}
	}
}

// call calls the API once.
func (c *tally) call(hc *http.Client, j job) {
	ctx, cancel := context.WithTimeout(context.Background(), patience/2)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.Fleet.APIURL, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set(workerHeader, j.Name)
	resp, err := hc.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		if err = transport.RefreshErrorOf(resp); err == nil {
			err = errors.New(resp.Status)
		}
	}
	c.Calls++
	switch {
	case errors.Is(err, client.ErrLoginRequired):
		c.Rejected++
	case err != nil:
		c.Failed++
		c.Error = j.Name + ": " + err.Error()
	}
}

func (c *tally) count(ended <-chan transport.Outcome) {
	for o := range ended {
		switch o {
		case transport.OutcomeExchanged:
			c.Exchanged++
		case transport.OutcomeAdopted:
			c.Adopted++
		}
	}
}
