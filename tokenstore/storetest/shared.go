package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sharedCases are about several stores over one place, and several processes. A
// function, because the cases refer to it by way of the child.
func sharedCases() []testCase {
	return []testCase{{
		name: "second-store",
		rule: "What one store has written or deleted, another one over the same place sees at once, also in another process. Records must not be cached, except to be looked up again.",
		run:  secondStore, child: sayRecord,
	}, {
		name: "stores-exclude",
		rule: "Stores over the same place within a process exclude each other as processes do. " +
			"Locks that belong to a process, such as those of fcntl, do not keep two stores in it apart.",
		run: storesExclude,
	}, {
		name: "processes-exclude",
		rule: "Updates of a key in several processes exclude each other: of any number, none is lost.",
		run:  processesExclude, child: countInChild,
	}, {
		name: "held-elsewhere",
		rule: "While another process is inside an Update, the ones here wait as long as their contexts last, and their errors Are those of the contexts. " +
			"The record stays readable meanwhile, and the other process, however slow, writes what it has.",
		run: heldElsewhere, child: holdInChild,
	}, {
		name: "killed-holder",
		rule: "When a process dies inside an Update, the record is as it was before, and after Config.Takeover at the latest others can Update it. " +
			"A lock that only its holder removes is there for ever.",
		run: killedHolder, child: holdInChild,
	}, {
		name: "whole-records",
		rule: "A Load sees whole records only, whatever a process is writing, and never an older one after a newer one. " +
			"Replace a record at one stroke: a file by a rename, a row by one statement.",
		run: wholeRecords, child: writeOnInChild,
	}}
}

func secondStore(c *check) {
	second := c.open()
	c.put("k", "one")
	wantIn(c, second, "k", "one")
	putIn(c, second, "k", "two")
	c.want("k", "two")
	c.put("k", "three")
	wantIn(c, second, "k", "three")
	p := c.start()
	for i := range 5 {
		record := "record " + strconv.Itoa(i)
		c.put("k", record)
		p.tell("load")
		if got := p.hear("loaded", patience); got != record {
			c.Fatalf("Load in another process = %q, want %q", got, record)
		}
	}
	if err := second.Delete(c.Context(), "k"); err != nil {
		c.Fatalf("Delete = %v", err)
	}
	c.wantNone("k")
	p.tell("load")
	p.hear("failed", patience)
}

// sayRecord loads a record whenever it is asked to, until there is none.
func sayRecord(ch *child) error {
	for {
		if err := ch.await("load"); err != nil {
			return err
		}
		record, err := ch.store.Load(context.Background(), "k")
		if err != nil {
			return err
		}
		ch.say("loaded %s", record)
	}
}

func storesExclude(c *check) {
	const stores, times = 4, 12
	c.put("k", "0")
	var wg sync.WaitGroup
	for range stores {
		s := c.open()
		wg.Go(func() {
			for range times {
				if err := s.Update(c.Context(), "k", increment); err != nil {
					c.Errorf("Update = %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if !c.Failed() {
		wantIn(c, c.open(), "k", strconv.Itoa(stores*times))
	}
}

const (
	countProcesses = 4
	countTimes     = 12
)

func processesExclude(c *check) {
	c.put("k", "0")
	var running []*process
	for range countProcesses {
		running = append(running, c.start())
	}
	for _, p := range running {
		p.tell("go")
	}
	for _, p := range running {
		p.finish()
	}
	wantIn(c, c.open(), "k", strconv.Itoa(countProcesses*countTimes))
}

func countInChild(ch *child) error {
	if err := ch.await("go"); err != nil {
		return err
	}
	for range countTimes {
		if err := ch.store.Update(context.Background(), "k", increment); err != nil {
			return err
		}
	}
	return nil
}

// holdInChild holds a key until it is told to write its record.
func holdInChild(ch *child) error {
	return ch.store.Update(context.Background(), "k", func(context.Context, []byte) ([]byte, error) {
		ch.say("inside")
		return []byte("held"), ch.await("write")
	})
}

func heldElsewhere(c *check) {
	c.put("k", "old")
	p := c.start()
	p.hear("inside", patience)
	for what, f := range map[string]func(context.Context) error{
		"Update": func(ctx context.Context) error { return c.store.Update(ctx, "k", c.never()) },
		"Delete": func(ctx context.Context) error { return c.store.Delete(ctx, "k") },
	} {
		ctx, cancel := context.WithTimeout(c.Context(), 2*longWait)
		if err := f(ctx); !errors.Is(err, context.DeadlineExceeded) {
			c.Errorf("%s of a key that another process holds = %v, want an error that Is context.DeadlineExceeded", what, err)
		}
		cancel()
	}
	c.want("k", "old")
	p.tell("write")
	p.finish()
	var old []byte
	if err := c.store.Update(c.Context(), "k", see(&old)); err != nil || string(old) != "held" {
		c.Errorf("Update = %v, and its function got %s; want what the other process wrote", err, shown(old))
	}
}

func killedHolder(c *check) {
	c.put("k", "old")
	p := c.start()
	p.hear("inside", patience)
	p.kill()
	ctx, cancel := context.WithTimeout(c.Context(), c.cfg.takeover())
	defer cancel()
	var old []byte
	if err := c.store.Update(ctx, "k", see(&old)); err != nil {
		c.Fatalf("Update within %v after its holder was killed = %v", c.cfg.takeover(), err)
	}
	if string(old) != "old" {
		c.Errorf("its function got %s, want the record as it was", shown(old))
	}
	c.want("k", "old")
	c.put("k", "new")
	c.want("k", "new")
}

func wholeRecords(c *check) {
	const versions = 40
	c.put("k", longVersion(c.cfg, 0))
	reader := c.open()
	p := c.start()
	for n, end := 0, time.Now().Add(patience); n < versions; time.Sleep(readPause) {
		if time.Now().After(end) {
			c.Fatalf("the other process has written %d records in %v", n, patience)
		}
		record, err := reader.Load(c.Context(), "k")
		if err != nil {
			c.Fatalf("Load while another process writes = %v", err)
		}
		number, _, _ := strings.Cut(string(record), " ")
		got, err := strconv.Atoi(number)
		if err != nil || string(record) != longVersion(c.cfg, got) {
			c.Fatalf("Load while another process writes = %s, which is no record that was written", shown(record))
		}
		if got < n {
			c.Fatalf("Load while another process writes = version %d, after version %d", got, n)
		}
		n = got
	}
	p.tell("stop")
	p.finish()
}

// longVersion is a record with a number. Neighbours differ in length, and in
// what they are made of.
func longVersion(cfg Config, n int) string {
	size := min(cfg.maxRecord()/2, 20000)
	return fmt.Sprintf("%d %s", n, strings.Repeat(string(rune('a'+n%26)), n*7919%size))
}

// writeOnInChild writes one version after the other until it is told to stop.
func writeOnInChild(ch *child) error {
	stop := make(chan error, 1)
	go func() { stop <- ch.await("stop") }()
	for n := 1; ; n++ {
		err := ch.store.Update(context.Background(), "k", give(longVersion(ch.cfg, n)))
		if err != nil {
			return err
		}
		select {
		case err := <-stop:
			return err
		default:
		}
	}
}
