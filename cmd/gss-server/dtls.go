package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/dtls"
	"github.com/countersign-go/countersign/server/dtls/psk"
)

// dtlsOptions are those of dtls listeners.
type dtlsOptions struct {
	file string
	weak bool
	hint string
}

func (d *dtlsOptions) flags(fs *pflag.FlagSet) {
	fs.StringVar(&d.file, "psk-file", "", "dtls: the `file` of pre-shared keys, an identity and its key in hex a line")
	fs.BoolVar(&d.weak, "psk-weak", false, "dtls: accept keys of fewer than 16 bytes")
	fs.StringVar(&d.hint, "psk-hint", "", "dtls: the identity `hint` for clients")
}

func (o *options) checkDTLS(fs *pflag.FlagSet) error {
	asked := o.any(func(e endpoint) bool { return e.transport == "dtls" })
	switch {
	case asked && o.dtls.file == "":
		return &hintedError{what: "a dtls listener needs --psk-file", hint: `lines as "alice 8a1d6f0c5b7e4f2398c0d7aa51b26e03": an identity and its key in hex`}
	case asked:
		return nil
	}
	for _, name := range []string{"psk-file", "psk-weak", "psk-hint"} {
		if fs.Changed(name) {
			return &hintedError{what: fmt.Sprintf("--%s: no listener is dtls", name), hint: "--listen 'dtls://:4447?service=echo'"}
		}
	}
	return nil
}

// listenDTLS opens the dtls listeners.
func (o *options) listenDTLS(log *logrus.Logger, out io.Writer) (servers []*dtls.Server, err error) {
	if !o.any(func(e endpoint) bool { return e.transport == "dtls" }) {
		return nil, nil
	}
	keys, warning, err := psk.Load(o.dtls.file, o.dtls.weak)
	if err != nil {
		hint := ""
		if errors.Is(err, psk.ErrWeakKey) {
			hint = "make keys of 16 bytes or more: openssl rand -hex 16; --psk-weak accepts shorter ones"
		}
		return nil, &hintedError{what: "reading the pre-shared keys: " + err.Error(), hint: hint}
	}
	if warning != "" && log != nil {
		log.Warn(warning)
	}
	var event func(dtls.Event)
	if out != nil {
		event = dtls.NewPrinter(out)
		if show := event; !o.verbose {
			event = func(e dtls.Event) {
				e.Ciphertext = nil
				show(e)
			}
		}
	}
	for _, e := range o.endpoints() {
		if e.transport != "dtls" {
			continue
		}
		config := dtls.Config{
			Key: keys.Key, WeakKeys: o.dtls.weak, Hint: o.dtls.hint,
			MaxConnections: o.server.MaxConnections, MessageTimeout: o.server.MessageTimeout,
			IdleTimeout: o.server.IdleTimeout, Grace: o.server.Grace,
			Once: o.once, Log: log, Event: event,
		}
		if e.ack {
			config.Reply = dtls.ACK
		}
		s, err := dtls.New(config)
		if err == nil {
			err = s.Listen(e.addr)
		}
		if err != nil {
			for _, open := range servers {
				_ = open.Close() // nobody came by it
			}
			return nil, &hintedError{what: fmt.Sprintf("listening on %s: %v", e.text, cause(err)), hint: listenHint(err)}
		}
		if log != nil {
			log.WithFields(logrus.Fields{"address": s.Addr().String(), "transport": "dtls", "service": "echo"}).Info("listening")
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// serveAll serves by streams and datagrams until ctx ends, one of them fails, or
// with -once the first connection, by whichever, is over.
func serveAll(ctx context.Context, once bool, srv *server.Server, listeners []net.Listener, datagrams []*dtls.Server) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		errs    []error
	)
	run := func(serve func() error) {
		running.Go(func() {
			defer stop()
			err := serve()
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	if len(listeners) > 0 {
		run(func() error {
			if once {
				return reported(srv.RunOnce(ctx, listeners...))
			}
			return srv.Run(ctx, listeners...)
		})
	}
	for _, d := range datagrams {
		run(func() error {
			if err := d.Serve(ctx); err != nil && once {
				return errReported
			} else {
				return err
			}
		})
	}
	running.Wait()
	if once {
		return errs[0] // the one whose connection it was; it stopped the others
	}
	return errors.Join(errs...)
}
