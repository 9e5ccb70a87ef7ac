//go:build race

package token_test

// raceEnabled: the race detector allocates by itself and makes sync.Pool forget at random.
const raceEnabled = true
