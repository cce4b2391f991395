// Package terminal tells the user of a terminal what to do at a device login:
//
//	err := session.LoginDevice(ctx, terminal.Prompt(os.Stdout))
//
// It shows where to go and what to enter there, a QR code of the link for a telephone,
// and how much time is left.
package terminal

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"rsc.io/qr"

	"github.com/freshet-go/freshet/client"
)

// Prompt returns the prompt of a [client.Session.LoginDevice] that writes to w. If w is a
// terminal it shows a QR code, where the server has a link with the code in it, and counts
// the time down until the login ends. If w is a file or a pipe it writes two lines and
// returns.
func Prompt(w io.Writer) func(ctx context.Context, p client.DevicePrompt) error {
	return func(ctx context.Context, p client.DevicePrompt) error {
		return prompt(ctx, w, isTerminal(w), p)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

func prompt(ctx context.Context, w io.Writer, terminal bool, p client.DevicePrompt) error {
	var b strings.Builder
	fmt.Fprintf(&b, "To sign in, open %s\nand enter the code %s\n", p.VerificationURI, p.UserCode)
	if !terminal {
		_, err := io.WriteString(w, b.String())
		return err
	}
	if code := picture(p.VerificationURIComplete); code != "" {
		fmt.Fprintf(&b, "\nor scan this with a telephone, and compare the code:\n\n%s", code)
	}
	b.WriteByte('\n')
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return countDown(ctx, w, p.Expiry)
}

// countDown writes how much time is left, each second over the last, until ctx is over.
func countDown(ctx context.Context, w io.Writer, end time.Time) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		left := max(time.Until(end).Round(time.Second), 0)
		if _, err := fmt.Fprintf(w, "\r\x1b[KWaiting for you there: %d:%02d left", left/time.Minute, left%time.Minute/time.Second); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_, err := io.WriteString(w, "\r\x1b[K")
			return err
		}
	}
}

const (
	quiet    = 2  // modules around the code; readers want some
	maxWidth = 76 // more would not fit into many terminals
)

// picture returns a QR code of a link, two rows of it to a line, or nothing where there is
// no link or it is too long. The colors are set, because a code has to be dark on light.
func picture(link string) string {
	code, err := qr.Encode(link, qr.L)
	if link == "" || err != nil || code.Size+2*quiet > maxWidth {
		return ""
	}
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("  \x1b[30;107m")
		for x := -quiet; x < code.Size+quiet; x++ {
			b.WriteString(halves(code.Black(x, y), code.Black(x, y+1)))
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String()
}

// halves returns a character whose upper and lower half are dark or not.
func halves(upper, lower bool) string {
	switch {
	case upper && lower:
		return "█"
	case upper:
		return "▀"
	case lower:
		return "▄"
	}
	return " "
}
