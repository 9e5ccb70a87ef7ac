package main

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/server/tlspolicy"
)

// tlsOptions are those of tls:// listeners.
type tlsOptions struct {
	config     tlspolicy.Config
	minVersion string
	ciphers    string
	clientCert string
	stale      string
	debug      bool
	bind       string
	bindings   krb5.BindingsPolicy
}

// tlsFlags are the options that are for tls:// listeners only.
var tlsFlags = []string{
	"tls-cert", "tls-key", "tls-pkcs12", "tls-key-passphrase-file", "tls-min", "tls-ciphers",
	"client-cert", "client-ca", "crl", "crl-stale", "tls-debug",
}

func (t *tlsOptions) flags(fs *pflag.FlagSet) {
	fs.StringVar(&t.config.CertFile, "tls-cert", "", "PEM `file`: the certificate of tls:// listeners, and those up to its CA")
	fs.StringVar(&t.config.KeyFile, "tls-key", "", "PEM `file`: its key (default: in the certificate's file)")
	fs.StringVar(&t.config.PKCS12File, "tls-pkcs12", "", "PKCS#12 `file`: certificate and key in one")
	fs.StringVar(&t.config.PassphraseFile, "tls-key-passphrase-file", "", "`file` with the key's passphrase as its first line")
	fs.StringVar(&t.minVersion, "tls-min", "1.3", "the least TLS `version`: 1.3 or 1.2")
	fs.StringVar(&t.ciphers, "tls-ciphers", "", "TLS 1.2 cipher suites, a `list` of IANA names")
	fs.StringVar(&t.clientCert, "client-cert", "none", "client certificates, a `mode`: none, report, verify or require")
	fs.StringVar(&t.config.ClientCAFile, "client-ca", "", "PEM `file`: the CAs of client certificates")
	fs.StringArrayVar(&t.config.CRLFiles, "crl", nil, "PEM or DER `file` of revoked client certificates; any number of times")
	fs.StringVar(&t.stale, "crl-stale", "refuse", "`policy` for CRLs past their next update: refuse or allow")
	fs.BoolVar(&t.debug, "tls-debug", false, "log each step of TLS handshakes and CRL checks")
	fs.StringVar(&t.bind, "bind", "allow", "`policy` for binding contexts to their TLS connection: off, allow or require")
}

// checkTLS reads what the options say and refuses what contradicts itself. Whether
// the files are good is found when they are read.
func (o *options) checkTLS(fs *pflag.FlagSet) error {
	t := &o.tls
	policies := map[string]krb5.BindingsPolicy{"off": krb5.BindingsIgnore, "allow": krb5.BindingsCheck, "require": krb5.BindingsRequire}
	var known bool
	if t.bindings, known = policies[t.bind]; !known {
		return &hintedError{what: fmt.Sprintf("--bind %q: known are off, allow and require", t.bind), hint: seeHelp}
	}
	unbound := func(e endpoint) bool { return e.service != "echo" && e.transport == "tcp" }
	if t.bind == "require" && (o.inetd || o.any(unbound)) {
		return &hintedError{what: "--bind require: plain TCP is no channel that a context could be bound to", hint: "give tls:// listeners only, as in --listen tls://:4445"}
	}
	if o.inetd || !o.any(func(e endpoint) bool { return e.transport == "tls" }) {
		for _, name := range tlsFlags {
			if fs.Changed(name) {
				return &hintedError{what: fmt.Sprintf("--%s: no listener speaks TLS", name), hint: "--listen tls://:4445 makes one"}
			}
		}
		return nil
	}
	var err error
	if t.config.MinVersion, err = tlspolicy.ParseVersion(t.minVersion); err != nil {
		return tlsError("--tls-min", err)
	}
	if fs.Changed("tls-ciphers") {
		if t.config.CipherSuites, err = tlspolicy.ParseCipherSuites(t.ciphers); err != nil {
			return tlsError("--tls-ciphers", err)
		}
		if t.config.MinVersion > tls.VersionTLS12 {
			return &hintedError{what: "--tls-ciphers: suites can be chosen for TLS 1.2 only, which is not allowed", hint: "--tls-min 1.2 allows it; TLS 1.3, the least otherwise, has no bad suites"}
		}
	}
	if t.config.ClientCert, err = tlspolicy.ParseMode(t.clientCert); err != nil {
		return tlsError("--client-cert", err)
	}
	switch t.stale {
	case "refuse":
	case "allow":
		t.config.StaleCRL = tlspolicy.StaleAllow
	default:
		return &hintedError{what: fmt.Sprintf("--crl-stale %q: known are refuse and allow", t.stale), hint: seeHelp}
	}
	if err := t.config.Validate(); err != nil {
		return tlsError("TLS", err)
	}
	return nil
}

func tlsError(what string, err error) error {
	hint := ""
	if e, ok := errors.AsType[*tlspolicy.Error](err); ok {
		hint = e.Hint
	}
	return &hintedError{what: fmt.Sprintf("%s: %v", what, err), hint: hint}
}

// tlsPolicy reads the key and whatever else TLS needs; nil if no listener does.
func (o *options) tlsPolicy(log *logrus.Logger) (*tlspolicy.Policy, error) {
	if o.inetd || !o.any(func(e endpoint) bool { return e.transport == "tls" }) {
		return nil, nil
	}
	cfg := o.tls.config
	cfg.Trace = func(ev tlspolicy.Event) {
		if log == nil || ev.Remote != nil && !o.tls.debug {
			return // a handshake that failed has its record as a session
		}
		entry := logrus.NewEntry(log)
		if ev.Remote != nil {
			entry = entry.WithField("peer", ev.Remote.String())
		}
		if ev.Detail != "" {
			entry = entry.WithField("detail", ev.Detail)
		}
		if ev.Err != nil {
			entry.WithError(ev.Err).Warn("TLS: " + ev.Step)
			return
		}
		entry.Info("TLS: " + ev.Step)
	}
	p, err := tlspolicy.New(cfg)
	if err != nil {
		return nil, tlsError("TLS", err)
	}
	return p, nil
}
