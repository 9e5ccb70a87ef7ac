//go:build !linux

package load

func newAlarm(over <-chan struct{}) alarm { return newTimer(over) }
