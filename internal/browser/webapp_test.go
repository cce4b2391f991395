package browser_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// startWebapp builds and starts the example, and returns its URL.
func startWebapp(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "webapp")
	build := exec.Command("go", "build", "-o", program, "./examples/webapp")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program, "-listen", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the example ended with %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) < 2 {
		t.Fatalf("the example says %q, %v", line, err)
	}
	return words[1]
}

// signInAt presses the application's button, and answers the server's pages.
func signInAt(at, account, button string) chromedp.Tasks {
	return chromedp.Tasks{
		chromedp.Navigate(at),
		chromedp.WaitVisible(`form[action="/login"] button`),
		chromedp.Click(`form[action="/login"] button`),
		chromedp.WaitVisible(`input[name=account]`),
		chromedp.SendKeys(`input[name=account]`, account),
		chromedp.Click(`button[value="sign in"]`),
		answer(button),
	}
}

// Two users with a browser each sign in and out beside each other.
func TestWebapp(t *testing.T) {
	at := startWebapp(t)
	alice, bob := newTab(t), newTab(t)
	alice.do(signInAt(at, "alice", "deny"), wantHeading("Sign in to go on"))
	alice.console() // the page of a refusal is a 403, which the console notes
	var notice string
	alice.do(chromedp.Text(".notice", &notice, chromedp.ByQuery))
	if !strings.Contains(notice, "did not give access") {
		t.Errorf("after a refusal: %q", notice)
	}
	alice.do(
		chromedp.Click(`form[action="/login"] button`), answer("allow"), wantHeading("Hello, alice"),
	)
	bob.do(signInAt(at, "bob", "allow"), wantHeading("Hello, bob"))
	for _, b := range []*tab{alice, bob} {
		b.wantSilence()
		if l := b.location(); l.Path != "/" || l.RawQuery != "" {
			t.Errorf("the address bar has %s", l)
		}
	}
	alice.schemes("webapp")
	var answered string
	alice.do(chromedp.Reload(), wantHeading("Hello, alice"), chromedp.Text("pre", &answered, chromedp.ByQuery))
	if !strings.Contains(answered, "200 OK") || !strings.Contains(answered, `"account":"alice"`) {
		t.Errorf("the API answered %q", answered)
	}
	alice.do(chromedp.Click(`form[action="/logout"] button`), wantHeading("Sign in to go on"))
	bob.do(chromedp.Reload(), wantHeading("Hello, bob"))
	alice.do(chromedp.NavigateBack(), wantHeading("Sign in to go on"))
	alice.wantSilence()
	bob.wantSilence()
	bob.wantPolicy()
}
