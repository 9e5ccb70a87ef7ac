//go:build !linux

package load

import "time"

// An alarm is nothing here: Go's timers serve.
type alarm struct{}

func newAlarm(<-chan struct{}) *alarm { return nil }

func (*alarm) wait(time.Duration) bool { return false }
