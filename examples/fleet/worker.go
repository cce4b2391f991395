package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/client"
	"github.com/freshet-go/freshet/client/clienttest"
	"github.com/freshet-go/freshet/transport"
)

// workerVar is the environment variable by which a process knows that it is a
// worker. It has its settings: unlike arguments, others do not see it.
const workerVar = "FRESHET_FLEET_WORKER"

const account = "reports@example.com"

// Settings are what a worker is told.
type settings struct {
	Place                 place
	Issuer, TokenURL, API string
}

func (set settings) open(observer *transport.Observer, tokens *http.Client) (c *client.Client, closeStore func() error, err error) {
	store, closeStore, err := set.Place.open()
	if err != nil {
		return nil, nil, err
	}
	c, err = client.New(client.Config{
		Issuer:         set.Issuer,
		Endpoint:       oauth2.Endpoint{TokenURL: set.TokenURL},
		ClientID:       clienttest.ClientID,
		ClientSecret:   clienttest.ClientSecret,
		Origins:        []string{set.API},
		Store:          store,
		RefreshTimeout: refreshTimeout,
		Observer:       observer,
		TokenClient:    tokens,
	})
	return c, closeStore, err
}

// work is a worker: it calls the API again and again, until its standard input is
// closed, by its parent or because that has died. Then it ends in order.
func work(text string) error {
	// A terminal interrupts all of its processes; the parent tells the workers. And
	// one that has lost its parent must not die of a broken pipe in the middle of a
	// refresh.
	signal.Ignore(os.Interrupt, syscall.SIGPIPE)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	var set settings
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		return fmt.Errorf("%s: %w", workerVar, err)
	}
	c, closeStore, err := set.open(&observer, &http.Client{Transport: announcer{}})
	if err != nil {
		return err
	}
	api := c.Session(account).HTTPClient()
	for ctx.Err() == nil {
		e := call(api, set.API+"/v1/report")
		say(e)
		time.Sleep(pauses[e.What])
	}
	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(c.Close(closing), closeStore())
}

// pauses are between one request and the next.
var pauses = map[what]time.Duration{answered: 20 * time.Millisecond, failed: 500 * time.Millisecond}

// call calls the API once.
func call(api *http.Client, url string) event {
	resp, err := api.Get(url)
	if err != nil {
		return event{What: failed, Err: err.Error()}
	}
	defer resp.Body.Close()
	if why := transport.RefreshErrorOf(resp); why != nil {
		return event{What: failed, Err: why.Error()}
	}
	if resp.StatusCode != http.StatusOK {
		return event{What: failed, Err: resp.Status}
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return event{What: failed, Err: err.Error()}
	}
	return event{What: answered}
}

// An event is what a worker tells its parent: a line of JSON on its standard output.
type event struct {
	What what
	Err  string
}

type what string

const (
	answered  what = "has an answer" // to a request, with 200
	failed    what = "has no answer"
	asking    what = "asks the server for a new token"
	refreshed what = "refreshed"
	adopted   what = "adopted the new token" // that another worker had stored
	unable    what = "could not refresh"
	lost      what = "lost the session" // somebody would have to sign in again
)

// say tells the parent. A line is written at one stroke, whoever else writes. If the
// parent has died nobody wants to know.
func say(e event) {
	line, err := json.Marshal(e)
	if err == nil {
		os.Stdout.Write(append(line, '\n'))
	}
}

var observer = transport.Observer{
	RefreshEnded: func(e transport.RefreshEnded) {
		switch e.Outcome {
		case transport.OutcomeAdopted:
			say(event{What: adopted})
		case transport.OutcomeExchanged:
			say(event{What: refreshed})
		case transport.OutcomeUnsaved:
			say(event{What: refreshed, Err: "and could not save the new token yet"})
		case transport.OutcomeFailed:
			say(event{What: unable, Err: e.Err.Error()})
		}
	},
	LoginRequired: func(e transport.LoginRequiredEvent) { say(event{What: lost, Err: e.Err.Error()}) },
}

// An announcer sends the requests to the token endpoint, and says so before.
type announcer struct{}

func (announcer) RoundTrip(req *http.Request) (*http.Response, error) {
	say(event{What: asking})
	return http.DefaultTransport.RoundTrip(req)
}
