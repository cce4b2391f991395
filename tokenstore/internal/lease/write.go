package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// firstPause is the pause between the first two tries to write; it doubles. The last
// is a part of the settle time.
const firstPause = 100 * time.Millisecond

// patience is how long a holder waits for the database before it goes on, and
// lastPause how long it pauses at the most before it asks again. Both together are
// less than the settle time.
func (s *Store) patience() time.Duration { return s.settle() / 2 }

func (s *Store) lastPause() time.Duration { return s.settle() / 4 }

var (
	errLost = errors.New("tokenstore: the exclusion was lost while the record was written")
	errSlow = errors.New("tokenstore: the database does not answer")
)

// A write is what a holder writes before it gives the lease back, in as many tries as
// that takes. A try that comes late harms nobody, since it acts under the lease of
// this hold alone. So one that takes long is not cut off, which in a slow database
// would be the end of every try; another is made beside it.
type write struct {
	hold     *hold
	try      func(ctx context.Context) (bool, error)
	ended    chan tried
	begun    int
	underWay int
}

// A tried is how a try ended.
type tried struct {
	ok  bool // false without an error: the lease is lost
	err error
}

// maxUnderWay bounds the tries at once: where nothing answers because too much is
// asked, more would not help.
const maxUnderWay = 2

// persist calls try until what it does is done, the lease is lost or ctx is over, but
// always once: a record may be the only copy of a refresh token.
func (h *hold) persist(ctx context.Context, try func(ctx context.Context) (bool, error)) error {
	w := &write{hold: h, try: try, ended: make(chan tried, maxUnderWay)}
	for pause := firstPause; ; pause = min(2*pause, h.store.lastPause()) {
		t := w.next(ctx)
		h.freed = t.err == nil
		switch {
		case t.ok:
			return nil
		case t.err == nil && w.begun == 1:
			return tokenstore.ErrConflict
		case t.err == nil: // an earlier try may have been carried out, and its answer lost
			return errLost
		}
		if over := sleep(ctx, pause); over != nil {
			return fmt.Errorf("tokenstore: not written: %w (given up: %w)", t.err, over)
		}
	}
}

// next begins a try, if there is room for one, and waits until one ends, but not for
// ever.
func (w *write) next(ctx context.Context) tried {
	if w.underWay < maxUnderWay {
		w.begun++
		w.underWay++
		go w.begin(context.WithoutCancel(ctx))
	}
	select {
	case t := <-w.ended:
		w.underWay--
		return t
	case <-time.After(w.hold.store.patience()):
		return tried{err: errSlow}
	}
}

func (w *write) begin(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	t := tried{err: errGone}
	defer func() { w.ended <- t }()
	defer catch(&t.err)
	ok, err := w.try(ctx)
	t = tried{ok && err == nil, err}
}
