package storetest

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// An op is one call that has returned: an Update that wrote a version, or a Load
// that returned one. It began and ended at ticks of one clock.
type op struct {
	name       string
	version    int
	began, end int
}

// A history is what was done with one record, by any number of goroutines.
type history struct {
	clock atomic.Int64 // ticks once for each beginning and each end

	mu  sync.Mutex // guards ops
	ops []op
}

// do notes one call, which returns the version that it wrote or read.
func (h *history) do(name string, call func() (version int, err error)) error {
	began := int(h.clock.Add(1))
	version, err := call()
	end := int(h.clock.Add(1))
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op{name, version, began, end})
	return nil
}

// flaw returns two calls of which no order of all calls, one after the other,
// can tell: the second began after the first had ended, and yet comes before it.
//
// Whether there is such an order is a hard question in general, but not here.
// Every Update reads a version n and writes n+1, and if no two wrote the same,
// which is looked at too, there is but one order in which they can have come.
// A Load of version n then has its place behind the Update that wrote n, and
// before the next one. So every call has its place but for Loads of one version,
// which can stand as they began. The order is right if and only if no call began
// after one had ended whose place is behind its own.
func (h *history) flaw() (first, second op, found bool) {
	type event struct{ begins, ends *op }
	events := make([]event, h.clock.Load()+1)
	for i := range h.ops {
		o := &h.ops[i]
		events[o.began].begins, events[o.end].ends = o, o
	}
	wrote := make(map[int]op)
	var last op // of all that have ended so far, the one whose place is the last
	for _, e := range events {
		if o := e.begins; o != nil && o.place() < last.place() {
			return last, *o, true
		}
		if o := e.ends; o != nil {
			if other, twice := wrote[o.version]; twice && o.name == update {
				return other, *o, true
			}
			if o.name == update {
				wrote[o.version] = *o
			}
			if o.place() > last.place() {
				last = *o
			}
		}
	}
	return op{}, op{}, false
}

const (
	update = "Update that wrote"
	load   = "Load of"
)

// place returns where o stands in the one order: the Update of a version comes
// before the Loads of it.
func (o op) place() int {
	if o.name == load {
		return 2*o.version + 1
	}
	return 2 * o.version
}

func (o op) String() string { return o.name + " version " + strconv.Itoa(o.version) }

// readPause keeps readers from doing nothing but spin.
const readPause = 100 * time.Microsecond

func linearizable(c *check) {
	const writers, updates, readers = 2, 60, 4
	h := new(history)
	c.put("k", "0")
	write := func() error { return h.do(update, func() (int, error) { return c.writeNext("k") }) }
	read := func() error { return h.do(load, func() (int, error) { return c.readVersion("k") }) }
	var writing, reading sync.WaitGroup
	var written atomic.Bool
	for range writers {
		writing.Go(func() {
			for range updates {
				if err := write(); err != nil {
					c.Errorf("Update = %v", err)
					return
				}
				if err := read(); err != nil { // which has to see what was written just now
					c.Errorf("Load = %v", err)
					return
				}
			}
		})
	}
	for range readers {
		reading.Go(func() {
			for ; !written.Load(); time.Sleep(readPause) {
				if err := read(); err != nil {
					c.Errorf("Load = %v", err)
					return
				}
			}
		})
	}
	writing.Wait()
	written.Store(true)
	reading.Wait()
	if c.Failed() {
		return
	}
	if first, second, found := h.flaw(); found {
		c.Errorf("%v began after %v had returned", second, first)
	}
	c.want("k", strconv.Itoa(writers*updates))
}

// writeNext writes the version after the one that is there, and returns it.
func (c *check) writeNext(key string) (version int, err error) {
	err = c.store.Update(c.Context(), key, func(ctx context.Context, old []byte) ([]byte, error) {
		record, err := increment(ctx, old)
		if err == nil {
			version, err = strconv.Atoi(string(record))
		}
		return record, err
	})
	return version, err
}

func (c *check) readVersion(key string) (version int, err error) {
	record, err := c.store.Load(c.Context(), key)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(record))
}
