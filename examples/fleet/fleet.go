package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A fleet is the worker processes, and what they tell. It is safe for concurrent use.
type fleet struct {
	settings string // of every worker
	verbose  bool
	start    time.Time

	mu      sync.Mutex // guards what follows
	started int
	workers map[*worker]bool // those that live
	counts  map[what]int     // of events since forget
	all     map[what]int     // of events
	last    map[what]*worker // who had the last event
	log     string           // what they did
	err     error            // the first of what must not happen
}

// A worker is a process of the fleet, as its parent sees it.
type worker struct {
	number   int
	process  *exec.Cmd
	stdin    io.Closer
	told     bool          // to end, or killed
	answered int           // requests
	ended    chan struct{} // closed when it has
	err      error         // of its end
}

func newFleet(set settings, verbose bool) (*fleet, error) {
	text, err := json.Marshal(set)
	return &fleet{
		settings: string(text), verbose: verbose, start: time.Now(),
		workers: make(map[*worker]bool), counts: make(map[what]int), all: make(map[what]int), last: make(map[what]*worker),
	}, err
}

// launch starts one more worker.
func (f *fleet) launch() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), workerVar+"="+f.settings)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w := f.add(&worker{process: cmd, stdin: stdin, ended: make(chan struct{})})
	f.show(w, fmt.Sprintf("started, as process %d", cmd.Process.Pid))
	go f.listen(w, stdout)
	return nil
}

func (f *fleet) add(w *worker) *worker {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started++
	w.number = f.started
	f.workers[w] = true
	return w
}

// listen takes note of what a worker tells, until it ends.
func (f *fleet) listen(w *worker, stdout io.Reader) {
	for lines := json.NewDecoder(stdout); ; {
		var e event
		if lines.Decode(&e) != nil {
			break // the worker has ended; a killed one perhaps in the middle of a line
		}
		f.note(w, e)
		if e.What != answered {
			f.show(w, strings.TrimSpace(fmt.Sprint(e.What, " ", e.Err)))
		}
	}
	err := w.process.Wait()
	f.show(w, fmt.Sprint("ended: ", w.process.ProcessState))
	f.left(w, err)
}

func (f *fleet) note(w *worker, e event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[e.What]++
	f.all[e.What]++
	f.last[e.What] = w
	if e.What == answered {
		w.answered++
	}
}

func (f *fleet) left(w *worker, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.workers, w)
	if !w.told && f.err == nil {
		f.err = fmt.Errorf("worker %d has ended by itself: %s", w.number, w.process.ProcessState)
	}
	w.err = err
	close(w.ended)
}

// show writes down what a worker does, and prints it if somebody wants to know.
func (f *fleet) show(w *worker, does string) {
	line := fmt.Sprintf("   %6.3f s: worker %d %s\n", time.Since(f.start).Seconds(), w.number, does)
	if f.verbose {
		fmt.Print(line)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log += line
}

// kill ends a worker without a word.
func (f *fleet) kill(w *worker) error {
	f.tell(w)
	err := w.process.Process.Kill()
	<-w.ended
	return err
}

// tell notes that the worker's end is no surprise.
func (f *fleet) tell(w *worker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.told = true
}

// end tells all workers to end, and returns how many have done so in order.
func (f *fleet) end() (inOrder int, err error) {
	workers := f.living()
	for _, w := range workers {
		f.tell(w)
		w.stdin.Close()
	}
	tooLate := time.After(10 * time.Second)
	for _, w := range workers {
		select {
		case <-w.ended:
		case <-tooLate:
			err = errors.Join(err, fmt.Errorf("worker %d does not end", w.number), f.kill(w))
		}
		if w.err == nil {
			inOrder++
		}
	}
	return inOrder, err
}

func (f *fleet) living() (workers []*worker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.workers {
		workers = append(workers, w)
	}
	return workers
}

// count returns how many events there were since forget.
func (f *fleet) count(w what) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[w]
}

// forget begins to count anew.
func (f *fleet) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.counts)
	clear(f.last)
	for w := range f.workers {
		w.answered = 0
	}
}

// await waits until there is something. It is an error after a time that no machine
// needs.
func (f *fleet) await(ctx context.Context, something string, there func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	for {
		done, err := f.look(there)
		if done || err != nil {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("it never came: %s: %w%s", something, ctx.Err(), f.told())
		}
	}
}

// told returns what the workers did, unless it has been shown.
func (f *fleet) told() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.verbose {
		return ""
	}
	return "\nWhat the workers did:\n" + f.log
}

func (f *fleet) look(there func() bool) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err == nil && there(), f.err
}
