//go:build nats

package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/natsbus"
)

// handOver is for programs without NATS.
func handOver() error { return nil }

// joinNATS joins the servers at the URLs of --nats.
func joinNATS(p *pushOptions, log *logrus.Logger) (push.Bus, error) {
	bus, err := natsbus.New(natsbus.Config{Servers: p.nats, CredentialsFile: p.creds, MaxData: p.maxData, Log: log})
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		return nil, &hintedError{what: fmt.Sprintf("--nats-creds: %v", err), hint: "--nats-creds names the file that nsc or the cluster's operator made, which the server must be able to read"}
	case err != nil:
		return nil, &hintedError{what: fmt.Sprintf("--nats: %v", err), hint: "--nats takes URLs such as nats://HOST:4222 or tls://HOST:4222, with commas between them"}
	}
	return bus, nil
}
