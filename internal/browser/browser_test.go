package browser_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/freshet-go/freshet/internal/testenv"
)

// patience is how long the browser may take for anything.
const patience = 20 * time.Second

// A tab is one of a browser with a profile of its own. It notes what its console says.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu   sync.Mutex // guards said
	said []string
}

// newTab opens a browser with a new profile, until the test ends.
func newTab(t *testing.T) *tab {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chrome(t)), chromedp.NoSandbox,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WSURLReadTimeout(patience),
	)
	alloc, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(alloc)
	t.Cleanup(func() { chromedp.Cancel(ctx); end() })
	b := &tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, b.listen)
	if err := chromedp.Run(ctx, log.Enable(), runtime.Enable()); err != nil { // the browser lives as long as this ctx
		t.Fatal(err)
	}
	return b
}

// chrome returns the path of a browser.
func chrome(t *testing.T) string {
	t.Helper()
	names := []string{os.Getenv("CHROME"), "chromium", "chromium-browser", "google-chrome"}
	for _, name := range names {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	testenv.Missing(t, "no browser: install chromium, or name one in CHROME")
	return ""
}

func (b *tab) listen(event any) {
	var text string
	switch e := event.(type) {
	case *log.EventEntryAdded:
		text = fmt.Sprintf("%s %s: %s", e.Entry.Source, e.Entry.Level, e.Entry.Text)
	case *runtime.EventConsoleAPICalled:
		text = fmt.Sprintf("console.%s %v", e.Type, e.Args)
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Error()
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, text)
}

// try has the browser do something.
func (b *tab) try(actions ...chromedp.Action) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, actions...)
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := b.try(actions...); err != nil {
		b.t.Fatalf("the browser: %v; console: %q", err, b.console())
	}
}

// console returns what the console has said since it was asked last.
func (b *tab) console() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.said
	b.said = nil
	return said
}

// wantSilence checks that the console has said nothing.
func (b *tab) wantSilence() {
	b.t.Helper()
	if said := b.console(); len(said) > 0 {
		b.t.Errorf("the console says %q", said)
	}
}

// signIn opens a page of the authorization server, signs account in and answers with the
// button.
func signIn(page, account, button string) chromedp.Tasks {
	return chromedp.Tasks{
		chromedp.Navigate(page),
		chromedp.WaitVisible(`input[name=account]`),
		chromedp.SendKeys(`input[name=account]`, account),
		chromedp.SendKeys(`input[name=password]`, "secret"),
		chromedp.Click(`button[value="sign in"]`),
		answer(button),
	}
}

// answer presses a button of the page for consent.
func answer(button string) chromedp.Tasks {
	selector := `button[value="` + button + `"]`
	return chromedp.Tasks{chromedp.WaitVisible(selector), chromedp.Click(selector)}
}

// wantHeading waits for a page with that heading.
func wantHeading(text string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		var last string
		for {
			// An error is a page that is just going.
			if err := chromedp.Evaluate(`document.querySelector("h1")?.textContent ?? ""`, &last).Do(ctx); err == nil && last == text {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("the page has the heading %q, want %q: %w", last, text, ctx.Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
}

// location returns the address bar.
func (b *tab) location() *url.URL {
	b.t.Helper()
	var text string
	b.do(chromedp.Location(&text))
	u, err := url.Parse(text)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// schemes looks at the page in light and in dark, and takes a picture of each where
// somebody wants to see them.
func (b *tab) schemes(name string) {
	b.t.Helper()
	backs := make(map[string]bool)
	for _, scheme := range []string{"light", "dark"} {
		var back string
		var picture []byte
		b.do(
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
			chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, &back),
			chromedp.CaptureScreenshot(&picture),
		)
		backs[back] = true
		if dir := os.Getenv("SCREENSHOTS"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, name+"-"+scheme+".png"), picture, 0o644); err != nil {
				b.t.Error(err)
			}
		}
	}
	if len(backs) != 2 {
		b.t.Errorf("%s: the background is %v in light and in dark", name, backs)
	}
}

// wantPolicy checks that the page's policy is in force: what is put into the page does not
// run, and nothing is loaded.
func (b *tab) wantPolicy() {
	b.t.Helper()
	var ran bool
	b.do(
		chromedp.Evaluate(`(() => {
			const script = document.createElement("script");
			script.textContent = "window.ran = true";
			document.body.append(script);
			const style = document.createElement("style");
			style.textContent = "body { outline: 7px solid red }";
			document.head.append(style);
			document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = true'><a id=a onclick='window.ran = true'>x</a>");
			document.getElementById("a").click();
			return window.ran === true || getComputedStyle(document.body).outlineWidth === "7px";
		})()`, &ran),
	)
	said := strings.Join(b.console(), "\n")
	if ran || strings.Count(said, "Content Security Policy") < 3 {
		b.t.Errorf("something ran: %t; the console says %s", ran, said)
	}
}
