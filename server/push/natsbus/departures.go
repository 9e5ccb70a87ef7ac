package natsbus

import "time"

// linger is how long what is sent to a user is still taken after the last
// session of it has gone. NATS's nodes need a moment to tell each other,
// and until then drop messages without a word: senders would learn nothing.
const linger = time.Second

// departures are the users who are no longer wanted, and until when they linger: since
// they left last.
type departures struct {
	queue []departure // in order of time
	until map[string]time.Time
}

type departure struct {
	subject string
	until   time.Time
}

func (d *departures) add(subject string, now time.Time) {
	if d.until == nil {
		d.until = make(map[string]time.Time)
	}
	d.until[subject] = now.Add(linger)
	d.queue = append(d.queue, departure{subject, now.Add(linger)})
}

// next gives when there is something due, if ever.
func (d *departures) next() (at time.Time, ok bool) {
	if len(d.queue) == 0 {
		return time.Time{}, false
	}
	return d.queue[0].until, true
}

// due takes a user whose time is over.
func (d *departures) due(now time.Time) (subject string, ok bool) {
	for len(d.queue) > 0 && !now.Before(d.queue[0].until) {
		first := d.queue[0]
		d.queue = d.queue[1:]
		if d.until[first.subject].Equal(first.until) { // else it has left again since
			delete(d.until, first.subject)
			return first.subject, true
		}
	}
	return "", false
}
