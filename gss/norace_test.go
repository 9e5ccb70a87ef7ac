//go:build !race

package gss_test

const raceEnabled = false
