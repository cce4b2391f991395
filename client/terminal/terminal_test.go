package terminal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rsc.io/qr"

	"github.com/freshet-go/freshet/client"
)

func testPrompt() client.DevicePrompt {
	return client.DevicePrompt{
		UserCode: "BDWP-HQPK", VerificationURI: "https://auth.example.com/device",
		VerificationURIComplete: "https://auth.example.com/device?user_code=BDWP-HQPK", Expiry: time.Now().Add(90 * time.Second),
	}
}

func TestPrompt_into_a_file(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, w := range []interface {
		Write([]byte) (int, error)
	}{new(bytes.Buffer), f} {
		if err := Prompt(w)(t.Context(), testPrompt()); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := os.ReadFile(f.Name())
	if want := "To sign in, open https://auth.example.com/device\nand enter the code BDWP-HQPK\n"; string(text) != want {
		t.Errorf("%q, want %q", text, want)
	}
}

func TestPrompt_counts_down(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 95*time.Second)
		defer cancel()
		if err := prompt(ctx, &b, true, testPrompt()); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		for _, want := range []string{"open https://auth.example.com/device\n", "code BDWP-HQPK\n", "1:30 left", "1:01 left", "0:59 left", "0:00 left", "\r\x1b[K"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in it", want)
			}
		}
		if !strings.HasSuffix(text, "\r\x1b[K") || strings.Contains(text, "-1") {
			t.Error("the line is left behind, or counts below zero")
		}
	})
}

func TestPrompt_that_can_not_write(t *testing.T) {
	full := errors.New("full")
	for _, after := range []int{0, 1, 2} {
		synctest.Test(t, func(t *testing.T) {
			w := &brokenWriter{after, full}
			if err := prompt(t.Context(), w, true, testPrompt()); err != full {
				t.Errorf("after %d writes: %v", after, err)
			}
		})
	}
}

type brokenWriter struct {
	left int
	err  error
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, w.err
	}
	return len(p), nil
}

// The picture is the code, module by module, with a light border.
func TestPicture(t *testing.T) {
	link := testPrompt().VerificationURIComplete
	code, err := qr.Encode(link, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(picture(link), "\n"), "\n")
	size := code.Size + 2*quiet
	if len(lines) != (size+1)/2 {
		t.Fatalf("%d lines for %d modules", len(lines), size)
	}
	for i, line := range lines {
		line = strings.TrimSuffix(strings.TrimPrefix(line, "  \x1b[30;107m"), "\x1b[0m")
		for x, r := range []rune(line) {
			upper, lower := strings.ContainsRune("█▀", r), strings.ContainsRune("█▄", r)
			if upper != code.Black(x-quiet, 2*i-quiet) || lower != code.Black(x-quiet, 2*i+1-quiet) {
				t.Fatalf("line %d, column %d is %q", i, x, r)
			}
		}
		if n := len([]rune(line)); n != size {
			t.Errorf("line %d has %d columns, want %d", i, n, size)
		}
	}
	for _, link := range []string{"", "https://auth.example.com/" + strings.Repeat("long", 200), strings.Repeat("x", 5000)} {
		if got := picture(link); got != "" {
			t.Errorf("a picture of %d bytes", len(link))
		}
	}
}
