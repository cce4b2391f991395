// Package testenv is what tests ask of the machine that they run on: how much
// time they have, and the programs and services that they need.
package testenv

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// timeVar is the environment variable that Time reads.
const timeVar = "FRESHET_TEST_TIME"

// defaultTime keeps go test ./... quick.
const defaultTime = 2 * time.Second

// Time returns how long a test runs that has no end of its own: what
// FRESHET_TEST_TIME says, such as 20s, or else two seconds.
func Time(t testing.TB) time.Duration {
	t.Helper()
	text := os.Getenv(timeVar)
	if text == "" {
		return defaultTime
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("%s is %q, want a duration such as 20s", timeVar, text)
	}
	return d
}

// Tool returns the path of a program that the test needs; see [Missing].
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "%s is not installed", name)
	}
	return path
}

// Missing ends a test that lacks something of the machine. It is skipped, unless
// the environment variable CI is "true": there everything is to be had, and a
// test that does not run is a failure.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
