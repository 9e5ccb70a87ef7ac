//go:build unix

package main

import (
	"log/syslog"

	"github.com/sirupsen/logrus"
	logsyslog "github.com/sirupsen/logrus/hooks/syslog"
)

// addSyslog sends the log's records to the system's log, too, which adds the
// time itself.
func addSyslog(log *logrus.Logger) error {
	hook, err := logsyslog.NewSyslogHook("", "", syslog.LOG_DAEMON, "gss-server")
	if err != nil {
		return err
	}
	if f, ok := log.Formatter.(*logrus.TextFormatter); ok {
		f.DisableTimestamp = true
	}
	log.AddHook(hook)
	return nil
}
