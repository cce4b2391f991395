package client

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// A body is the body of one attempt to send a token request. What the server can
// act on is in it, so it is the place to make sure of three things:
//
//   - Nothing is handed to the network once the context is over, by its own word
//     or by the wall clock, however long a dial or a sleep of the machine took.
//   - What was handed out once is not handed out again: neither net/http, which
//     sends a request again on its own judgement when a connection fails, nor
//     middleware may send a refresh token twice.
//   - Afterwards it is known whether the server can have got it.
type body struct {
	ctx    context.Context
	form   url.Values
	text   string
	reader *strings.Reader
	*once
}

func newBody(ctx context.Context, form url.Values) *body {
	text := form.Encode()
	return &body{ctx, form, text, strings.NewReader(text), new(once)}
}

// A once is the state of a request body: unread, read or sealed.
type once struct{ state atomic.Int32 }

const (
	unread int32 = iota
	read
	sealed
)

var (
	errLate   = errors.New("client: the time for the token request was over before it could be sent")
	errResend = errors.New("client: a token request is not sent twice by a transport")
)

func (b *body) Read(p []byte) (int, error) {
	if late(b.ctx) {
		return 0, errLate
	}
	if !b.state.CompareAndSwap(unread, read) && b.state.Load() != read {
		return 0, errLate
	}
	return b.reader.Read(p)
}

func (b *body) Close() error { return nil }

// again is the GetBody of the request. A transport asks for it when a connection
// turns out to be dead.
func (b *body) again() (io.ReadCloser, error) {
	if b.state.Load() != unread {
		return nil, errResend
	}
	return &body{b.ctx, b.form, b.text, strings.NewReader(b.text), b.once}, nil
}

// seal ends the reading and reports whether there was any.
func (b *body) seal() bool { return !b.state.CompareAndSwap(unread, sealed) }

// late reports whether ctx is over by either clock: while a machine sleeps only
// the wall clock goes on, and with it the time in which the session is ours.
func late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Round(0).Before(deadline.Round(0))
}
