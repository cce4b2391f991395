package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const allDone = "all done"

// give puts n jobs into the queue. The func that it returns waits for them.
func (d *demonstration) give(n int) (wait func() string) {
	results := make(chan error, n)
	for range n {
		d.jobs <- job{d.set.API, func(err error) { results <- err }}
	}
	return func() string {
		failed := 0
		for range n {
			select {
			case err := <-results:
				if err != nil {
					failed++
				}
			case err := <-d.ended:
				d.ended <- err
				return fmt.Sprintf("the worker has ended (%v)", err)
			}
		}
		if failed > 0 {
			return fmt.Sprintf("%d failed", failed)
		}
		return allDone
	}
}

// get returns what the worker's own server answers: the status and the body.
func (d *demonstration) get(path string) string {
	resp, err := http.Get(d.url + path)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

// showHealth prints the first line of /healthz once it begins with want.
func (d *demonstration) showHealth(want string) error {
	var line string
	err := eventually("/healthz: "+want, func() bool {
		line, _, _ = strings.Cut(d.get("/healthz"), "\n")
		return strings.HasPrefix(line, want)
	})
	if err != nil {
		return fmt.Errorf("%w; it is: %s", err, line)
	}
	fmt.Printf("   /healthz: %s\n", line)
	return nil
}

// showLog prints words once they are in the worker's log.
func (d *demonstration) showLog(words string) error {
	if err := d.log.await(words); err != nil {
		return err
	}
	fmt.Printf("   The log: %s\n", words)
	return nil
}

// A logbook keeps a log, to be looked into. It is safe for concurrent use.
type logbook struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) await(words string) error {
	return eventually("in the log: "+words, func() bool { return strings.Contains(l.String(), words) })
}

// eventually waits until there is something, and is an error after a time that no
// machine needs.
func eventually(what string, there func() bool) error {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if there() {
			return nil
		}
	}
	return fmt.Errorf("it never came: %s", what)
}

// countNil returns how many results have come that are no error.
func countNil(results chan error) (n int) {
	close(results)
	for err := range results {
		if err == nil {
			n++
		}
	}
	return n
}

// terminate sends this process a SIGTERM. Windows has no signals; there the worker
// is told as if it had come.
func (d *demonstration) terminate() error {
	if runtime.GOOS == "windows" {
		d.stop()
		return nil
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return self.Signal(syscall.SIGTERM)
}
