//go:build race

package transport_test

// raceEnabled says that allocations and times mean nothing.
const raceEnabled = true
