package client

import "testing"

// Short secrets are part of the word that stands for others.
func TestClean_short_secrets(t *testing.T) {
	if got, want := clean("a long-secret, e", []string{"long-secret", "e", "d"}, 100), "a [redacted], [redacted]"; got != want {
		t.Errorf("clean = %q, want %q", got, want)
	}
}
