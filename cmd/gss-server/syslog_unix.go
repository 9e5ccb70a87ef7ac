//go:build unix

package main

import (
	"log/syslog"
	"sync"

	"github.com/sirupsen/logrus"
	logsyslog "github.com/sirupsen/logrus/hooks/syslog"
)

// addSyslog sends the log's records to the system's log, too, which adds the
// time itself.
func addSyslog(log *logrus.Logger) error {
	if f, ok := log.Formatter.(*logrus.TextFormatter); ok {
		f.DisableTimestamp = true
	}
	log.AddHook(&syslogHook{dial: sync.OnceValues(func() (logrus.Hook, error) {
		return logsyslog.NewSyslogHook("", "", syslog.LOG_DAEMON, "gss-server")
	})})
	return nil
}

// A syslogHook connects with the first record. A session's client has its answer
// by then. Where there is no system log, records have no place.
type syslogHook struct {
	dial func() (logrus.Hook, error)
}

func (h *syslogHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h *syslogHook) Fire(record *logrus.Entry) error {
	hook, err := h.dial()
	if err != nil {
		return nil // said nowhere: there is no other place
	}
	return hook.Fire(record)
}
