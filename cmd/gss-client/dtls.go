package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/client/dtls"
	"github.com/countersign-go/countersign/server/dtls/psk"
)

// pskOptions are those of dtls:// servers.
type pskOptions struct {
	identity string
	file     string
	weak     bool
}

func (d *pskOptions) flags(fs *pflag.FlagSet) {
	fs.StringVar(&d.identity, "psk-identity", "", "")
	fs.StringVar(&d.file, "psk-file", "", "")
	fs.BoolVar(&d.weak, "psk-weak", false, "")
}

const hintPSK = "--psk-identity alice --psk-file FILE --service echo; FILE has lines as \"alice 8a1d6f0c5b7e4f2398c0d7aa51b26e03\""

func (o *options) checkPSK(fs *pflag.FlagSet) error {
	if o.tls.transport != "dtls" {
		for _, name := range []string{"psk-identity", "psk-file", "psk-weak"} {
			if fs.Changed(name) {
				return usage(fmt.Sprintf("--%s: the server is not a dtls:// one", name), hintURL)
			}
		}
		return nil
	}
	switch {
	case o.tls.service != "echo":
		return usage("dtls carries --service echo only: the sign service needs a stream, and datagrams can be lost and come out of order", hintPSK)
	case o.psk.identity == "" || o.psk.file == "":
		return usage("a dtls:// server needs --psk-identity and --psk-file", hintPSK)
	}
	return nil
}

// echoDatagrams is echo over DTLS.
func (o *options) echoDatagrams(ctx context.Context, msg []byte, p *printer) error {
	keys, warning, err := psk.Load(o.psk.file, o.psk.weak)
	if err != nil {
		hint := ""
		switch {
		case errors.Is(err, psk.ErrWeakKey):
			hint = "--psk-weak uses keys of fewer than 16 bytes"
		case errors.Is(err, psk.ErrNoKeys):
			hint = hintPSK
		}
		return &failure{doing: "reading the pre-shared key", err: err, hint: hint}
	}
	if warning != "" && !p.quiet {
		fmt.Fprintln(p.out, "Warning:", warning)
	}
	key, ok := keys.Key(o.psk.identity)
	if !ok {
		return &failure{doing: "reading the pre-shared key", err: fmt.Errorf("%s has no key for %q", o.psk.file, o.psk.identity)}
	}
	cfg := dtls.Config{Addr: o.addr(), Identity: o.psk.identity, Key: key, WeakKey: o.psk.weak, Timeout: o.timeout}
	for range o.ccount {
		if err := o.echoDatagramsOnce(ctx, cfg, msg, p); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) echoDatagramsOnce(ctx context.Context, cfg dtls.Config, msg []byte, p *printer) error {
	session, err := dtls.Dial(ctx, cfg)
	if err != nil {
		return o.explain(err)
	}
	defer context.AfterFunc(ctx, func() { session.Close() })()
	defer session.Close()
	for range o.mcount {
		answer, err := session.Echo(msg)
		if len(answer) > 0 && !p.quiet {
			fmt.Fprintf(p.out, "Received %d bytes: %q\n", len(answer), answer)
		}
		if err != nil {
			return o.explain(err)
		}
		if p.quiet {
			continue
		}
		if bytes.Equal(answer, msg) {
			fmt.Fprintln(p.out, "Echo verified.")
		} else {
			fmt.Fprintln(p.out, "Acknowledged.")
		}
	}
	return p.flush()
}
