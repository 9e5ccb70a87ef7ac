//go:build race

package gss_test

const raceEnabled = true
