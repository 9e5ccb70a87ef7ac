package natsbus

import (
	"testing"
	"time"
)

// Who leaves, comes back and leaves again lingers from then on.
func TestDepartures(t *testing.T) {
	var d departures
	start := time.Now()
	at := func(part time.Duration) time.Time { return start.Add(part * linger / 4) }
	if _, ok := d.next(); ok {
		t.Error("something is due of nothing")
	}
	d.add("alice", at(0))
	d.add("bob", at(1))
	d.add("alice", at(2))
	for _, want := range []struct {
		now     time.Duration
		subject string
	}{{3, ""}, {4, ""}, {5, "bob"}, {5, ""}, {6, "alice"}, {9, ""}} {
		if subject, ok := d.due(at(want.now)); subject != want.subject || ok != (want.subject != "") {
			t.Errorf("after %d quarters %q is due, want %q", want.now, subject, want.subject)
		}
	}
	if len(d.until) > 0 {
		t.Errorf("kept %v", d.until)
	}
}
