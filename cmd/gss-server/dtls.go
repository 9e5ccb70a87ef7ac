package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

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

const pskExample = `lines as "alice 8a1d6f0c5b7e4f2398c0d7aa51b26e03": an identity and its key in hex`

func (o *options) checkDTLS(fs *pflag.FlagSet) error {
	asked := o.any(func(e endpoint) bool { return e.transport == "dtls" })
	switch {
	case asked && o.dtls.file == "":
		return &hintedError{what: "a dtls listener needs --psk-file", hint: pskExample}
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

// dtlsTransport reads the keys and makes what the dtls listeners share; nil if
// there are none.
func (o *options) dtlsTransport(out io.Writer, log *logrus.Logger) (*dtls.Transport, *psk.File, error) {
	if o.inetd || !o.any(func(e endpoint) bool { return e.transport == "dtls" }) {
		return nil, nil, nil
	}
	keys, warning, err := psk.Open(o.dtls.file, o.dtls.weak)
	if err != nil {
		return nil, nil, &hintedError{what: "reading the pre-shared keys: " + err.Error(), hint: pskHint(err)}
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
	t, err := dtls.New(dtls.Config{Key: keys.Key, WeakKeys: o.dtls.weak, Hint: o.dtls.hint, Log: log, Event: event})
	if err != nil {
		return nil, nil, &hintedError{what: err.Error(), hint: seeHelp}
	}
	return t, keys, nil
}

func pskHint(err error) string {
	switch {
	case errors.Is(err, psk.ErrWeakKey):
		return "make keys of 16 bytes or more: openssl rand -hex 16; --psk-weak accepts shorter ones"
	case errors.Is(err, psk.ErrNoKeys):
		return pskExample
	}
	return ""
}

// reloadKeys reads the keys again, and keeps the old ones if that fails.
func reloadKeys(keys *psk.File, log *logrus.Logger) {
	warning, err := keys.Reload()
	if log == nil {
		return
	}
	if err != nil {
		log.WithError(err).Warn("cannot read the pre-shared keys again, going on with the old ones")
		return
	}
	if warning != "" {
		log.Warn(warning)
	}
	log.WithField("identities", keys.Len()).Info("pre-shared keys read again")
}
