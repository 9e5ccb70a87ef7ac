//go:build race

package server_test

// raceEnabled tells that the race detector counts allocations of its own.
const raceEnabled = true
