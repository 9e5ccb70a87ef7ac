//go:build !nats

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server/push"
)

// withNATS is the name of the program built with NATS. It is a program of its own,
// as NATS's client takes a seventh of such a program and a tenth of its start:
// servers that join nobody do not pay for it.
const withNATS = "gss-server-nats"

var errNoNATS = errors.New("this gss-server is built without NATS")

// handOver becomes the program with NATS that stands beside this one. It
// returns only if there is none.
func handOver() error {
	self, err := os.Executable()
	if err != nil {
		return noNATS(err)
	}
	name := withNATS
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	other := filepath.Join(filepath.Dir(self), name)
	if strings.EqualFold(filepath.Base(self), name) {
		return noNATS(errNoNATS) // it would become itself for ever
	}
	return noNATS(syscall.Exec(other, append([]string{other}, os.Args[1:]...), os.Environ()))
}

func noNATS(err error) error {
	what := "--nats: " + errNoNATS.Error()
	if err != errNoNATS {
		what += fmt.Sprintf(", and %s beside it does not start: %v", withNATS, err)
	}
	return &hintedError{what: what, hint: "make build puts " + withNATS + " beside it; go build -tags nats ./cmd/gss-server makes one, too"}
}

// joinNATS is not reached: handOver comes first.
func joinNATS(*pushOptions, *logrus.Logger) (push.Bus, error) { return nil, noNATS(errNoNATS) }
