//go:build race

package client_test

// raceEnabled says that everything takes five times as long.
const raceEnabled = true
