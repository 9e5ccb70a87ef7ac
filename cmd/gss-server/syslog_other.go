//go:build !unix

package main

import (
	"errors"

	"github.com/sirupsen/logrus"
)

func addSyslog(*logrus.Logger) error { return errors.New("no syslog on this system") }
