package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A bucket is what the requests that began in a short time took, and whether one stalled.
type bucket struct {
	median, most time.Duration
	stalled      bool
}

const bucketWidth = 50 * time.Millisecond

// buckets returns those of a stretch of time. Where no request began, all is zero.
func (c crossing) buckets(length time.Duration) []bucket {
	took := make([][]time.Duration, length/bucketWidth)
	made := make([]bucket, len(took))
	for _, s := range c.samples {
		if i := int(s.at / bucketWidth); i < len(took) {
			took[i] = append(took[i], s.took)
			made[i].stalled = made[i].stalled || s.waited > stall
		}
	}
	for i, all := range took {
		if len(all) > 0 {
			slices.Sort(all)
			made[i].median, made[i].most = all[len(all)/2], all[len(all)-1]
		}
	}
	return made
}

// The scale of latency is logarithmic, between these.
const (
	leastLatency = 3 * time.Millisecond
	mostLatency  = time.Second
)

// y is where a latency is.
func (s strip) y(took time.Duration) float64 {
	took = min(max(took, leastLatency), mostLatency)
	return s.bottom - (s.bottom-s.top)*math.Log(float64(took)/float64(leastLatency))/math.Log(float64(mostLatency)/float64(leastLatency))
}

const stripHeight, stripGap = 74, 22

func latencyPlot(th theme, b boundary, all []crossing) []byte {
	d := &drawing{theme: th, width: 860, height: 84 + len(all)*(stripHeight+stripGap) + 34}
	title := fmt.Sprintf("Latency of requests while tokens of %v expire", b.lifetime)
	d.heading(16, 28, 16, title)
	d.write(16, 48, start, 12, d.muted, fmt.Sprintf("%d workers without a pause, the API answers after %v, a refresh takes %v", b.workers, b.answer, b.delay))
	d.latencyKey(16, 68)
	for i, c := range all {
		top := 84 + float64(i*(stripHeight+stripGap))
		s := strip{left: 210, right: 840, top: top, bottom: top + stripHeight, to: b.length}
		d.latencyStrip(s, c, peers[i].name)
		if i == len(all)-1 {
			d.seconds(s, "when a request began")
		}
	}
	return d.file(title, latencyText(all))
}

// latencyKey explains the marks.
func (d *drawing) latencyKey(x, y float64) {
	d.stroke(fmt.Sprintf("M%.1f %.1fh18", x, y-4), 2, d.line)
	d.write(x+24, y, start, 12, d.muted, "median of 50 ms")
	d.rect(x+140, y-10, 4, 11, d.mark)
	d.write(x+150, y, start, 12, d.muted, "up to the longest")
	d.rect(x+270, y-10, 4, 11, d.bad)
	d.write(x+280, y, start, 12, d.muted, fmt.Sprintf("… where a request waited over %d ms for a token", stall.Milliseconds()))
}

func (d *drawing) latencyStrip(s strip, c crossing, name string) {
	d.heading(16, s.top+18, 14, name)
	d.write(16, s.top+38, start, 12, d.muted, fmt.Sprintf("%d of %s stalled", c.stalled(), thousands(len(c.samples))))
	d.write(16, s.top+55, start, 12, d.muted, fmt.Sprintf("%d answered 401", c.rejected))
	d.write(16, s.top+72, start, 12, d.muted, fmt.Sprintf("%d token requests", c.refreshes))
	for _, at := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		d.across(s.left, s.right, s.y(at))
		d.write(s.left-6, s.y(at)+4, end, 11, d.muted, at.String())
	}
	d.across(s.left, s.right, s.bottom)
	marks := c.buckets(s.to)
	d.stroke(s.spread(marks, func(b bucket) bool { return !b.stalled }), 3, d.mark)
	d.stroke(s.spread(marks, func(b bucket) bool { return b.stalled }), 3, d.bad)
	d.stroke(s.medians(marks), 1.5, d.line)
}

// spread has a bar from the median to the longest of each bucket that is meant.
func (s strip) spread(marks []bucket, meant func(bucket) bool) string {
	var path strings.Builder
	for i, b := range marks {
		if b.most > 0 && meant(b) {
			fmt.Fprintf(&path, "M%.1f %.1fV%.1f", s.middleOf(i), s.y(b.median), s.y(b.most))
		}
	}
	return path.String()
}

// medians is a line with gaps where no request began.
func (s strip) medians(marks []bucket) string {
	var path strings.Builder
	move := "M"
	for i, b := range marks {
		if b.most == 0 {
			move = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", move, s.middleOf(i), s.y(b.median))
		move = "L"
	}
	return path.String()
}

func (s strip) middleOf(bucket int) float64 {
	return s.x(time.Duration(bucket)*bucketWidth + bucketWidth/2)
}

func latencyText(all []crossing) string {
	var parts []string
	for i, c := range all {
		parts = append(parts, fmt.Sprintf("%s: %d of %s requests waited over %d ms for a token", peers[i].name, c.stalled(), thousands(len(c.samples)), stall.Milliseconds()))
	}
	return strings.Join(parts, "; ") + "."
}

// thousands writes n with a comma.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
