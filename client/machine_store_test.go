package client_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

var (
	errDisk = errors.New("the disk fails")
	errCut  = errors.New("the process is gone")
)

// A shelf is the store that all processes share. It excludes them from each other,
// frees the lock of one that was killed, and fails as it is told.
type shelf struct {
	tokenstore.Funcs
	model *model

	mu      sync.Mutex // guards what follows
	bytes   map[string][]byte
	older   map[string][][]byte
	fault   diskFault
	decoded map[string]*tokenstore.Record
}

// A diskFault is what is wrong with the store.
type diskFault struct {
	step  string // "enter", "load", "save", "saved": the error comes there; after "saved" the record is written
	hangs string // "": not; "heeds": until the context is over; "deaf": whatever that says
	slow  bool   // no error, it only takes its time
	until time.Time
}

func newShelf(m *model) *shelf {
	s := &shelf{model: m, bytes: map[string][]byte{}, older: map[string][][]byte{}, decoded: map[string]*tokenstore.Record{}}
	s.LoadFunc, s.SaveFunc, s.DeleteFunc = s.load, s.save, s.remove
	return s
}

// step is a step of what p does; it may take long, and fail.
func (s *shelf) step(ctx context.Context, p *process, name string) error {
	f := s.faultAt(name)
	if f.hangs != "" || f.slow {
		over := ctx.Done()
		if f.hangs == "deaf" {
			over = nil
		}
		select {
		case <-time.After(time.Until(f.until)):
		case <-over:
		case <-p.cut:
		}
	}
	switch {
	case p.isCut():
		return tokenstore.ErrConflict
	case f.step == "" || f.slow:
		return nil
	}
	return errDisk
}

func (s *shelf) faultAt(step string) diskFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault.step != step || !time.Now().Before(s.fault.until) {
		return diskFault{}
	}
	return s.fault
}

func (s *shelf) setFault(f diskFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

type processKey struct{}

func processOf(ctx context.Context) *process { return ctx.Value(processKey{}).(*process) }

func (s *shelf) load(ctx context.Context, key string) ([]byte, error) {
	if err := s.step(ctx, processOf(ctx), "load"); err != nil {
		return nil, err
	}
	return s.get(key), nil
}

func (s *shelf) save(ctx context.Context, key string, b []byte) error {
	p := processOf(ctx)
	if err := s.step(ctx, p, "save"); err != nil {
		return err
	}
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	if p.fenced > 0 {
		p.fenced--
		s.model.loseExclusion(p, s.decode(b))
		return tokenstore.ErrConflict
	}
	s.model.writing(p, s.record(key), s.decode(b))
	s.put(key, b)
	if s.faultAt("saved").step != "" {
		return errDisk
	}
	return nil
}

func (s *shelf) remove(ctx context.Context, key string) error {
	p := processOf(ctx)
	if err := s.step(ctx, p, "save"); err != nil {
		return err
	}
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	if a := s.model.accountOf(key); a != nil {
		s.model.lose(a, forgotten)
		delete(p.known, a)
	}
	s.put(key, nil)
	return nil
}

func (s *shelf) get(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes[key]
}

func (s *shelf) put(key string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.bytes[key]; old != nil {
		s.older[key] = append(s.older[key], old)
	}
	s.bytes[key] = b
}

// rollBack puts back what was stored n writes ago, and reports whether there was any.
func (s *shelf) rollBack(key string, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n >= len(s.older[key]) {
		return false
	}
	s.bytes[key] = s.older[key][len(s.older[key])-1-n]
	return true
}

// record returns what is stored, nil where nothing is that can be read.
func (s *shelf) record(key string) *tokenstore.Record { return s.decode(s.get(key)) }

// decode returns b as a record, or nil. It is asked the same again and again.
func (s *shelf) decode(b []byte) *tokenstore.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, found := s.decoded[string(b)]
	if !found {
		if rec, err := tokenstore.DecodeRecord(b); err == nil {
			r = &rec
		}
		s.decoded[string(b)] = r
	}
	return r
}

// A door is the shelf as one process has it.
type door struct{ p *process }

func (d door) Load(ctx context.Context, key string) ([]byte, error) {
	b, err := d.p.shelf.Load(context.WithValue(ctx, processKey{}, d.p), key)
	d.p.model.saw(d.p.shelf.decode(b))
	d.p.model.mu.Lock()
	defer d.p.model.mu.Unlock()
	if a := d.p.model.accountOf(key); a != nil && b != nil {
		d.p.forgot[a] = false
	}
	return b, err
}

func (d door) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	ctx, cancel := d.within(ctx)
	defer cancel()
	if err := d.p.shelf.step(ctx, d.p, "enter"); err != nil {
		return err
	}
	return d.p.shelf.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
		leave := d.p.model.enter(d.p, key, d.p.shelf.decode(old))
		made, err := next(ctx, old)
		leave(d.p.shelf.decode(made), old != nil && d.p.shelf.decode(old) == nil)
		return made, err
	})
}

func (d door) Delete(ctx context.Context, key string) error {
	ctx, cancel := d.within(ctx)
	defer cancel()
	return d.p.shelf.Delete(ctx, key)
}

// within returns ctx, which ends with the process.
func (d door) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.WithValue(ctx, processKey{}, d.p))
	stop := make(chan struct{})
	go func() {
		select {
		case <-d.p.cut:
			cancel()
		case <-stop:
		}
	}()
	return ctx, func() { close(stop); cancel() }
}
