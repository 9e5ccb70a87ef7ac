//go:build !unix

package krb5_test

import "time"

var started = time.Now()

// cpuTime is the time since the start, where CPU time cannot be had.
func cpuTime() time.Duration { return time.Since(started) }
