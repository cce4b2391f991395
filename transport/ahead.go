package transport

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// How much of a 401 is read, so that its connection can be used again, and how
// long the second try waits for that.
const (
	drainLimit = 64 << 10
	drainTime  = 50 * time.Millisecond
)

// An ahead is the body of a 401, whose beginning is read while the token is
// refreshed. The refresh may need the connection: where a Base with a limit of
// connections leads to both servers, it would wait for those that wait for it.
type ahead struct {
	io.ReadCloser
	done chan struct{} // closed when nothing more is read ahead

	mu    sync.Mutex // guards what follows
	come  *sync.Cond // there is more
	begin []byte     // read ahead, and not by the caller yet
	over  bool
	err   error
}

func readAhead(body io.ReadCloser) *ahead {
	if body == nil { // http.Client forgives that, and so do we
		body = http.NoBody
	}
	a := &ahead{ReadCloser: body, done: make(chan struct{})}
	a.come = sync.NewCond(&a.mu)
	go a.read()
	return a
}

// read is the goroutine that reads ahead.
func (a *ahead) read() {
	defer close(a.done)
	defer a.add(nil, true, nil)
	defer func() { recover() }() // of a body that is not net/http's
	buf := make([]byte, 4<<10)
	for left := drainLimit; left > 0; {
		n, err := a.ReadCloser.Read(buf[:min(len(buf), left)])
		left -= n
		a.add(buf[:n], err != nil, err)
		if err != nil {
			return
		}
	}
}

func (a *ahead) add(b []byte, over bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begin = append(a.begin, b...)
	a.over = over
	if a.err == nil {
		a.err = err
	}
	a.come.Broadcast()
}

// Read is for the caller, who gets the 401 after all.
func (a *ahead) Read(p []byte) (int, error) {
	n, err, ahead := a.readAhead(p)
	if ahead {
		return n, err
	}
	return a.ReadCloser.Read(p)
}

// readAhead reads from what was read ahead, and reports false where that is over.
func (a *ahead) readAhead(p []byte) (n int, err error, ahead bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.begin) == 0 && !a.over {
		a.come.Wait()
	}
	if len(a.begin) > 0 {
		n = copy(p, a.begin)
		a.begin = a.begin[n:]
		return n, nil, true
	}
	return 0, a.err, a.err != nil
}

// discard closes the body. A Read that takes too long is under way still: the
// Close ends it, as net/http's do.
func (a *ahead) discard(ctx context.Context) {
	select {
	case <-a.done:
	case <-time.After(drainTime):
	case <-ctx.Done():
	}
	a.Close()
}
