package main

import (
	"io"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/gss/gsstest"
)

// preauthRequired is RFC 4120's KDC_ERR_PREAUTH_REQUIRED, a step of every login.
const preauthRequired = 25

// reporter logs requests as they were answered.
type reporter struct{ log *logrus.Logger }

func newReporter(w io.Writer) reporter {
	log := logrus.New()
	log.SetOutput(w)
	log.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true})
	return reporter{log}
}

func (r reporter) report(e gsstest.Event) {
	fields := logrus.Fields{"transport": e.Transport, "peer": e.Peer}
	for name, value := range map[string]string{"exchange": e.Exchange, "client": e.Client, "service": e.Service} {
		if value != "" {
			fields[name] = value
		}
	}
	entry := r.log.WithFields(fields)
	switch {
	case e.Err == nil:
		entry.Info("ticket issued")
	case e.Code == preauthRequired:
		entry.Info("pre-authentication demanded")
	default:
		entry.WithError(e.Err).Warn("no ticket issued")
	}
}
