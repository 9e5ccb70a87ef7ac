package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// One processor is enough for one session after the other. Two side by side get
// all at once, and keep them for a while.
func TestProcessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := true
		p := makeProcessors(func(to bool) {
			if to == all {
				t.Error("set to what is already")
			}
			all = to
		})
		for _, step := range []struct {
			sessions int
			wait     time.Duration
			all      bool
		}{
			{1, quietTime - 2*overlap, true},
			{2, overlap, true}, // the first is still being closed
			{1, overlap, false},
			{0, time.Hour, false},
			{1, time.Hour, false},
			{2, overlap - 1, false},
			{1, time.Hour, false},
			{2, overlap, true},
			{3, time.Hour, true},
			{1, quietTime - 1, true},
			{2, overlap + 1, true},
			{0, quietTime - 1, true},
			{1, 1, false},
			{2, overlap, true},
		} {
			p.sessions(step.sessions)
			time.Sleep(step.wait)
			synctest.Wait()
			if all != step.all {
				t.Fatalf("after %+v: all processors: %t", step, all)
			}
		}
	})
}
