package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// freshet is what the tables are about.
func freshet() peer { return peers[len(peers)-1] }

// In a bubble a latency is exact: no other program is in the way.
func TestBoundary(t *testing.T) {
	b := tokenEnds
	b.workers, b.length = 10, 10*time.Second
	for _, set := range []settings{b.best(freshet()), {}} {
		synctest.Test(t, func(t *testing.T) {
			c := b.run(freshet(), set)
			if c.stalled() != 0 || c.rejected != 0 || c.failed != 0 {
				t.Errorf("%v, want none stalled, rejected or failed", c)
			}
			if c.refreshes < 4 || c.refreshes > 6 {
				t.Errorf("%d refreshes of tokens of %v in %v", c.refreshes, b.lifetime, b.length)
			}
			if len(c.samples) < 10_000 {
				t.Errorf("%d requests", len(c.samples))
			}
		})
	}
}

// Pauses have a jitter, so that the number of attempts has bounds.
func TestOutage(t *testing.T) {
	o := serverDown
	for _, set := range []settings{o.plain(freshet()), o.tuned(freshet())} {
		synctest.Test(t, func(t *testing.T) {
			s := o.run(freshet(), set)
			if s.failed != 0 || s.requests < 240 {
				t.Errorf("%d of %d requests failed", s.failed, s.requests)
			}
			if n := s.during(); n < 3 || n > 5 {
				t.Errorf("%d token requests while the server was down", n)
			}
			if _, ok := s.renewed(); !ok {
				t.Error("the token was not renewed")
			}
		})
	}
}

func TestProcesses(t *testing.T) {
	f := manyProcesses
	f.processes, f.length = 4, 2500*time.Millisecond
	refused, working, err := f.run(freshet().name)
	if err != nil || refused != 0 || working != f.processes {
		t.Errorf("%d refused, %d working: %v", refused, working, err)
	}
}

// A program with x/oauth2 refreshes too, so that the other figure is not one of mistakes.
func TestProcesses_one_alone(t *testing.T) {
	f := manyProcesses
	f.processes, f.length = 1, 2500*time.Millisecond
	for name := range sharing {
		refused, working, err := f.run(name)
		if err != nil || refused != 0 || working != 1 {
			t.Errorf("%s: %d refused, %d working: %v", name, refused, working, err)
		}
	}
}

// Plots are drawn whatever the figures are.
func TestPlots(t *testing.T) {
	full, empty := new(figures), new(figures)
	for i := range peers {
		c := crossing{}
		for at := time.Duration(0); at < tokenEnds.length; at += time.Millisecond {
			c.samples = append(c.samples, sample{at, time.Duration(i+1) * at / 20, at / 20})
		}
		full.crossings, empty.crossings = append(full.crossings, c), append(empty.crossings, crossing{})
		s := survival{length: serverDown.length}
		for n := range 50 * i {
			s.calls = append(s.calls, time.Duration(n)*100*time.Millisecond)
		}
		full.survivals, empty.survivals = append(full.survivals, s), append(empty.survivals, survival{})
	}
	for _, f := range []*figures{full, empty} {
		dir := t.TempDir()
		if err := f.write(dir); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*.svg"))
		if len(files) != 4 {
			t.Errorf("%d files", len(files))
		}
		for _, file := range files {
			checkSVG(t, file)
		}
	}
}

func checkSVG(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 60_000 {
		t.Errorf("%s: %d bytes", file, len(text))
	}
	var names []string
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if e, ok := tok.(xml.StartElement); ok {
			names = append(names, e.Name.Local)
		}
	}
	if !slices.Equal(names[:3], []string{"svg", "title", "desc"}) || bytes.Contains(text, []byte("NaN")) || bytes.Contains(text, []byte("Inf")) {
		t.Errorf("%s: %.200s", file, text)
	}
}

func TestTable(t *testing.T) {
	made := table{title: "T", head: []string{"", "a"}}
	made.add("row", 1)
	var b strings.Builder
	made.print(&b)
	if want := "### T\n\n|  | a |\n|---|---|\n| row | 1 |\n\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
}

func TestChoose(t *testing.T) {
	if all, err := choose(""); err != nil || len(all) != len(tables) {
		t.Error(all, err)
	}
	if some, err := choose("outage,expiry"); err != nil || len(some) != 2 {
		t.Error(some, err)
	}
	if _, err := choose("nothing"); err == nil {
		t.Error("no error")
	}
}

// Every library does its work over every wire.
func TestWires(t *testing.T) {
	for _, w := range wires {
		srv := w.serve()
		defer srv.Close()
		for _, p := range wired() {
			rt := p.over(srv.Client().Transport, &issuer{lifetime: time.Hour}, settings{})
			resp, err := rt.RoundTrip(requestTo(t.Context(), srv.URL, 6))
			if err != nil {
				t.Errorf("%s, %s: %v", w.name, p.name, err)
				continue
			}
			resp.Body.Close()
			if resp.StatusCode != 200 || (resp.ProtoMajor == 2) != w.http2 {
				t.Errorf("%s, %s: %s %s", w.name, p.name, resp.Proto, resp.Status)
			}
		}
	}
}

// One noisy round says nothing.
func TestSeries(t *testing.T) {
	var base, floor, lib series
	for i := range rounds {
		noise := time.Duration(1)
		if i%5 == 0 {
			noise = 10
		}
		base = append(base, cost{100 * noise, 2, 200})
		floor = append(floor, cost{200 * noise, 5, 900})
		lib = append(lib, cost{350, 5 + int64(noise), 900})
	}
	if got := lib.ratio(floor, base); got != 2.5 {
		t.Errorf("ratio %v", got)
	}
	if lib.over(base) != 250 || lib.allocs() != 6 || floor.bytes() != 900 {
		t.Error(lib.over(base), lib.allocs(), floor.bytes())
	}
}
