package main

import "testing"

func TestSessions_are_small(t *testing.T) {
	size, goroutines, _ := loadSessions(20_000)
	if size > 900 || goroutines > 0 {
		t.Errorf("%d B and %d goroutines", size, goroutines)
	}
	size, goroutines = keepAlive(20_000)
	if size > 300 || goroutines > 2 {
		t.Errorf("KeepAlive: %d B and %d goroutines", size, goroutines)
	}
}
