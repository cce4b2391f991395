package keyring_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	system "github.com/zalando/go-keyring"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/tokenstore"
)

// secretGiven is what a fake has been given to keep.
var secretGiven atomic.Pointer[string]

// testLate shows that a keyring which hung works again once it answers, whatever
// it has done of what was given up meanwhile.
func testLate(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	below := new(tokenstore.Memory)
	signalDaemon(t, syscall.SIGSTOP)
	if err := openWithin(t, below, time.Second); err == nil {
		t.Fatal("Open = nil")
	}
	signalDaemon(t, syscall.SIGCONT)
	put(t, mustOpen(t, below), "alice", "record of alice")
	wantRecord(t, mustOpen(t, below), "alice", "record of alice")
}

// testNoSecretInProc looks at the arguments and the environment of all processes
// while keys are made and found.
func testNoSecretInProc(t *testing.T) {
	if !inSession(t, unlocked) {
		return
	}
	done, stop := make(chan map[string]bool), make(chan struct{})
	go func() { done <- sample(stop) }()
	var texts []string
	for end := time.Now().Add(testenv.Time(t)); time.Now().Before(end); {
		below := new(tokenstore.Memory)
		for range 5 {
			mustOpen(t, below)
		}
		text, err := system.Get(service, idOf(t, below, "freshet-keyring.key"))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	close(stop)
	seen := <-done
	if len(seen) == 0 || len(texts) == 0 {
		t.Fatalf("%d processes seen and %d keys made", len(seen), len(texts))
	}
	for s := range seen {
		for _, text := range texts {
			if shows([]byte(s), text) {
				t.Fatalf("a process had a key in its arguments or environment: %.200q", s)
			}
		}
	}
}

// shows reports whether b has the key in it, as it is kept or in other letters.
func shows(b []byte, text string) bool {
	key, _ := base64.StdEncoding.DecodeString(text)
	for _, form := range [][]byte{[]byte(text), key, []byte(hex.EncodeToString(key)), []byte(base64.StdEncoding.EncodeToString([]byte(text)))} {
		if bytes.Contains(b, form) {
			return true
		}
	}
	return false
}

// sample reads the arguments and environments of all processes, again and again,
// until it is told to stop.
func sample(stop <-chan struct{}) map[string]bool {
	seen := make(map[string]bool)
	for {
		select {
		case <-stop:
			return seen
		default:
		}
		for _, name := range []string{"cmdline", "environ"} {
			paths, _ := filepath.Glob("/proc/[0-9]*/" + name)
			for _, path := range paths {
				if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
					seen[string(b)] = true
				}
			}
		}
	}
}
