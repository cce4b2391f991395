package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// The pauses between two tries to take a lease: from the first they double up to
// the last. They are jittered, so that those who wait do not come in step.
const (
	firstPoll   = 20 * time.Millisecond
	longestPoll = 250 * time.Millisecond
)

// lastPoll is the longest pause for the settle time of s: in half of it who watches
// must have looked, or what it has seen does not count.
func (s *Store) lastPoll() time.Duration {
	return max(min(longestPoll, s.settle()/8), time.Millisecond)
}

// A hold is the exclusion of one key, from when it is waited for.
type hold struct {
	store  *Store
	key    string
	owner  string
	unlock func() // of the process's own lock

	waiting bool // somebody else had the lease when it was asked for last

	row   Row
	ends  time.Time // when the lease may end, by this host's clocks
	freed bool      // the lease was given back by what wrote or removed the record
}

// maxErrors is how many errors running end a wait. Databases have some that only say
// that several came at once: deadlocks, serialization failures, busy files.
const maxErrors = 5

// wait asks for the lease until it is had or ctx is over.
func (h *hold) wait(ctx context.Context) error {
	var w watch
	errs := 0
	for pause := firstPoll; ; pause = 2 * pause {
		pause = min(pause, h.store.lastPoll())
		taken, err := h.take(ctx, &w)
		if taken {
			return nil
		}
		if err == nil {
			errs = 0
		} else if errs++; errs == maxErrors {
			go h.leave(&w)
			return err
		}
		if over := sleep(ctx, pause/2+rand.N(pause)); over != nil {
			go h.leave(&w)
			return cmp.Or(err, over)
		}
	}
}

// take asks for the lease once. What comes of it after ctx is over is given back.
func (h *hold) take(ctx context.Context, w *watch) (taken bool, err error) {
	s, start := h.store, time.Now()
	over, waiting := w.over(s.settle()), h.waiting
	var row Row
	err = detach(ctx, answerTime, func(ctx context.Context) (err error) {
		row, err = s.Table.Take(ctx, h.key, h.owner, over, s.length(), waiting)
		return err
	}, h.free)
	if err != nil {
		return false, err
	}
	w.saw(row, s.settle())
	if h.waiting = row.Holder != h.owner; h.waiting {
		return false, nil
	}
	h.row = row
	h.ends = start.Add(s.length() - s.length()/10) // counted from before the database did; clocks do not run alike
	return true, nil
}

// leave ends a wait in vain. A watch that has begun goes on behind it: where
// callers have less time than a lease takes to settle, nobody would ever take it
// over.
func (h *hold) leave(w *watch) {
	defer h.unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*h.store.settle())
	defer cancel()
	pause := h.store.lastPoll()
	for w.holder != "" && sleep(ctx, pause/2+rand.N(pause)) == nil {
		if taken, _ := h.take(ctx, w); taken {
			break
		}
	}
	h.free()
}

// release ends the hold.
func (h *hold) release() {
	defer h.unlock()
	if !h.freed {
		h.free()
	}
}

// free gives the lease back, or lets it run out where the database does not
// answer.
func (h *hold) free() {
	ctx, cancel := context.WithTimeout(context.Background(), h.store.patience())
	defer cancel()
	detach(ctx, answerTime, func(ctx context.Context) error { return h.store.Table.Free(ctx, h.key, h.owner) }, nil)
}

// A watch is kept of a lease that has run out. What it has seen counts only if it
// has looked all the time: in between the database may have been away, and the
// holder with it.
type watch struct {
	holder      string // empty if there is nothing to watch
	since, last time.Time
}

// saw takes note of what is there.
func (w *watch) saw(row Row, settle time.Duration) {
	switch {
	case !row.RunOut:
		*w = watch{}
	case row.Holder != w.holder || w.broken(settle):
		*w = watch{holder: row.Holder, since: time.Now()}
	}
	w.last = time.Now()
}

// broken reports whether the last look is too long ago, by wall time, which goes
// on while a machine sleeps.
func (w *watch) broken(settle time.Duration) bool {
	return time.Now().Round(0).Sub(w.last.Round(0)) > settle/2
}

// over returns from whom the lease may be taken over, or "".
func (w *watch) over(settle time.Duration) string {
	if w.holder == "" || w.broken(settle) || time.Since(w.since) < settle {
		return ""
	}
	return w.holder
}

// detach calls step with a context of its own that ends after limit: no caller can
// end it halfway. Where ctx is over first, the error is that of ctx, and late, if
// not nil, is called once the step has ended.
func detach(ctx context.Context, limit time.Duration, step func(ctx context.Context) error, late func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	inner, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		err := errGone
		defer func() { done <- err }()
		defer catch(&err)
		err = step(inner)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if late != nil {
			go func() { <-done; late() }()
		}
		return ctx.Err()
	}
}

var errGone = errors.New("tokenstore: the database driver ended the goroutine")

// catch turns a panic of the driver, which has no caller here to reach, into an
// error. The value is not shown: it may hold anything.
func catch(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("tokenstore: panic (%T) in the database driver", v)
	}
}

// sleep returns the error of ctx if that is over before d has passed.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return ctx.Err()
}
