//go:build unix

package main

import (
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
)

// The system's log is connected to once, and not before there is a record. A
// system without one is no trouble.
func TestSyslogWaitsForRecords(t *testing.T) {
	for _, failure := range []error{nil, errors.New("no system log")} {
		var dialled, fired int
		log := logrus.New()
		log.SetOutput(io.Discard)
		log.AddHook(&syslogHook{dial: sync.OnceValues(func() (logrus.Hook, error) {
			dialled++
			return hookFunc(func(*logrus.Entry) error { fired++; return nil }), failure
		})})
		log.Debug("not wanted at this level")
		if dialled != 0 {
			t.Errorf("dialled %d times before there was a record", dialled)
		}
		log.Info("first")
		log.Warn("second")
		want := 2
		if failure != nil {
			want = 0
		}
		if dialled != 1 || fired != want {
			t.Errorf("%v: dialled %d times, %d records went there, want 1 and %d", failure, dialled, fired, want)
		}
	}
}

type hookFunc func(*logrus.Entry) error

func (hookFunc) Levels() []logrus.Level            { return logrus.AllLevels }
func (f hookFunc) Fire(record *logrus.Entry) error { return f(record) }
