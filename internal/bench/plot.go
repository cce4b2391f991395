package main

import (
	"os"
	"path/filepath"
	"time"
)

// figures are what the plots are drawn from, in the order of the peers.
type figures struct {
	crossings []crossing
	survivals []survival
}

// write draws what there are figures of, in each theme, into files of dir.
func (f *figures) write(dir string) error {
	for _, t := range themes {
		if f.crossings != nil {
			if err := keep(dir, "latency-"+t.name, latencyPlot(t, tokenEnds, f.crossings)); err != nil {
				return err
			}
		}
		if f.survivals != nil {
			if err := keep(dir, "outage-"+t.name, outagePlot(t, serverDown, f.survivals)); err != nil {
				return err
			}
		}
	}
	return nil
}

func keep(dir, name string, svg []byte) error {
	return os.WriteFile(filepath.Join(dir, name+".svg"), svg, 0o644)
}

// A strip is the part of a plot that one library has.
type strip struct {
	left, right, top, bottom float64
	from, to                 time.Duration // the time at left and at right
}

// x is where a time is.
func (s strip) x(at time.Duration) float64 {
	return s.left + (s.right-s.left)*float64(at-s.from)/float64(s.to-s.from)
}

// seconds writes the scale of time below a strip.
func (d *drawing) seconds(s strip, unit string) {
	for at := s.from.Truncate(time.Second); at <= s.to; at += time.Second {
		label := at.String()
		if at == 0 {
			label = "0s"
		}
		d.write(s.x(at), s.bottom+16, middle, 11, d.muted, label)
	}
	d.write((s.left+s.right)/2, s.bottom+34, middle, 12, d.muted, unit)
}
