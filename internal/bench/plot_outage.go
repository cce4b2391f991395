package main

import (
	"fmt"
	"strings"
	"time"
)

func outagePlot(th theme, o outage, all []survival) []byte {
	const height, gap = 40, 18
	d := &drawing{theme: th, width: 860, height: 84 + len(all)*(height+gap) + 34}
	title := fmt.Sprintf("Token requests while the token endpoint is down for %v", o.length)
	d.heading(16, 28, 16, title)
	d.write(16, 48, start, 12, d.muted, fmt.Sprintf("the access token is good all the time, the program sends a request each %v", o.every))
	d.outageKey(16, 68)
	for i, s := range all {
		top := 84 + float64(i*(height+gap))
		st := strip{left: 120, right: 600, top: top, bottom: top + height, from: -time.Second, to: o.length + o.after}
		d.outageStrip(st, s, peers[i].name)
		if i == len(all)-1 {
			d.seconds(st, "since the token endpoint went down, which is when each library first renews")
		}
	}
	return d.file(title, outageText(all))
}

// outageKey explains the marks.
func (d *drawing) outageKey(x, y float64) {
	d.rect(x, y-11, 18, 13, d.shade)
	d.write(x+24, y, start, 12, d.muted, "down")
	d.rect(x+80, y-11, 2, 13, d.bad)
	d.write(x+88, y, start, 12, d.muted, "a token request that fails")
	d.rect(x+260, y-11, 2, 13, d.good)
	d.write(x+268, y, start, 12, d.muted, "one that brings a token")
}

func (d *drawing) outageStrip(st strip, s survival, name string) {
	d.heading(16, st.top+25, 14, name)
	d.rect(st.x(0), st.top, st.x(s.length)-st.x(0), st.bottom-st.top, d.shade)
	d.across(st.left, st.right, st.bottom)
	var lost, good strings.Builder
	for _, at := range s.calls {
		path := &good
		if at < s.length {
			path = &lost
		}
		if at <= st.to {
			fmt.Fprintf(path, "M%.1f %.1fV%.1f", st.x(at), st.top+4, st.bottom)
		}
	}
	d.stroke(lost.String(), 1.5, d.bad)
	d.stroke(good.String(), 2.5, d.good)
	d.write(st.right+14, st.top+16, start, 12, d.text, vain(s)+", "+renewal(s))
	d.write(st.right+14, st.top+33, start, 12, d.muted, fmt.Sprintf("%d of %d requests failed", s.failed, s.requests))
}

func vain(s survival) string {
	if n := s.during(); n != 1 {
		return fmt.Sprintf("%d token requests in vain", n)
	}
	return "1 token request in vain"
}

func renewal(s survival) string {
	if _, ok := s.renewed(); ok {
		return "renewed"
	}
	return "not renewed"
}

func outageText(all []survival) string {
	var parts []string
	for i, s := range all {
		parts = append(parts, fmt.Sprintf("%s: %s, %s, %d of %d requests failed", peers[i].name, vain(s), renewal(s), s.failed, s.requests))
	}
	return strings.Join(parts, "; ") + "."
}
