package main

import (
	"fmt"
	"html"
	"strings"
)

// A theme is the colours of a drawing. Each stands out from back by 4.5 to 1 where it is
// that of text or of a mark; WCAG 2.2 §1.4.3.
type theme struct {
	name                    string
	back, text, muted, grid string
	line, mark, bad, good   string
	shade                   string
}

var themes = []theme{
	{"light", "#ffffff", "#1f2328", "#59636e", "#d1d9e0", "#0550ae", "#6e7781", "#bc4c00", "#116329", "#ffebd9"},
	{"dark", "#0d1117", "#f0f6fc", "#9198a1", "#3d444d", "#79c0ff", "#8b949e", "#f0883e", "#56d364", "#3b2312"},
}

// A drawing is an SVG file that needs nothing else: no script, no style sheet, no font.
type drawing struct {
	theme
	width, height int
	body          strings.Builder
}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.body, format+"\n", args...) }

// An anchor says which end of a text is at its place.
type anchor string

const (
	start  anchor = "start"
	middle anchor = "middle"
	end    anchor = "end"
)

func (d *drawing) write(x, y float64, at anchor, size int, colour, text string) {
	d.add(`<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d" fill="%s">%s</text>`, x, y, at, size, colour, html.EscapeString(text))
}

// heading is write in bold.
func (d *drawing) heading(x, y float64, size int, text string) {
	d.add(`<text x="%.1f" y="%.1f" font-size="%d" font-weight="600" fill="%s">%s</text>`, x, y, size, d.text, html.EscapeString(text))
}

func (d *drawing) rect(x, y, width, height float64, colour string) {
	d.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x, y, width, height, colour)
}

// stroke draws a path, if there is one.
func (d *drawing) stroke(path string, width float64, colour string) {
	if path != "" {
		d.add(`<path d="%s" fill="none" stroke="%s" stroke-width="%.1f"/>`, path, colour, width)
	}
}

// across draws a thin line from x to x.
func (d *drawing) across(from, to, y float64) {
	d.stroke(fmt.Sprintf("M%.1f %.1fH%.1f", from, y, to), 1, d.grid)
}

const fonts = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"

// file returns all of the SVG. title and text say to readers what others see.
func (d *drawing) file(title, text string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title desc" viewBox="0 0 %d %d" width="%d" height="%d" font-family="%s">`+"\n",
		d.width, d.height, d.width, d.height, fonts)
	fmt.Fprintf(&b, "<title id=\"title\">%s</title>\n<desc id=\"desc\">%s</desc>\n", html.EscapeString(title), html.EscapeString(text))
	fmt.Fprintf(&b, "<rect width=\"%d\" height=\"%d\" fill=\"%s\"/>\n", d.width, d.height, d.back)
	b.WriteString(d.body.String())
	b.WriteString("</svg>\n")
	return []byte(b.String())
}
