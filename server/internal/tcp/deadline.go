package tcp

import "time"

// A deadline is that of one direction, as noted and as the runtime's timer has it.
// The zero time is none.
type deadline struct {
	due   time.Time
	armed time.Time
	arm   func(time.Time) error // sets the timer; nil while there is none
}

// set notes when the deadline is. The timer may go off earlier, never later.
func (d *deadline) set(t time.Time) error {
	d.due = t
	if d.arm == nil || t.IsZero() || !d.armed.IsZero() && !t.Before(d.armed) {
		return nil
	}
	return d.rearm()
}

// rearm has the timer go off when the deadline is.
func (d *deadline) rearm() error {
	d.armed = d.due
	return d.arm(d.due)
}

// passed reports whether the deadline is over.
func (d *deadline) passed() bool { return !d.due.IsZero() && time.Until(d.due) <= 0 }
