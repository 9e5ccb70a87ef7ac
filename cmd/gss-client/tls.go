package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/server/tlspolicy"
)

// tlsOptions are those of tls:// servers, and what else a URL chooses.
type tlsOptions struct {
	transport string // tcp, tls or dtls
	service   string // sign, echo or push
	ca        string
	cert      string
	key       string
	pkcs12    string
	secret    string // file with the key's passphrase
	minimum   string
	bind      string
}

func (t *tlsOptions) flags(fs *pflag.FlagSet) {
	fs.StringVar(&t.service, "service", "sign", "")
	fs.StringVar(&t.ca, "tls-ca", "", "")
	fs.StringVar(&t.cert, "tls-cert", "", "")
	fs.StringVar(&t.key, "tls-key", "", "")
	fs.StringVar(&t.pkcs12, "tls-pkcs12", "", "")
	fs.StringVar(&t.secret, "tls-key-passphrase-file", "", "")
	fs.StringVar(&t.minimum, "tls-min", "1.3", "")
	fs.StringVar(&t.bind, "bind", "allow", "")
}

const hintURL = "a host is written tls://server.example:4445, dtls://server.example:4447, tcp://server.example:4444, or as a bare name"

// splitURL takes a host that is written as a URL apart.
func (o *options) splitURL(portGiven bool) error {
	o.tls.transport = "tcp"
	if !strings.Contains(o.host, "://") {
		return nil
	}
	u, err := url.Parse(o.host)
	switch {
	case err != nil:
		return usage(fmt.Sprintf("%q is no URL", o.host), hintURL)
	case u.Scheme != "tcp" && u.Scheme != "tls" && u.Scheme != "dtls":
		return usage(fmt.Sprintf("unknown transport %s", u.Scheme), "known are tcp, tls and dtls")
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "":
		return usage(fmt.Sprintf("%s: it is to have a transport, a host and a port, and nothing else", o.host), hintURL)
	case u.Port() != "" && portGiven:
		return usage(fmt.Sprintf("-port and the port of %s contradict each other", o.host), "")
	}
	if u.Port() != "" {
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 {
			return usage(fmt.Sprintf("%s: a port is a number from 1 to 65535", o.host), "")
		}
		o.port = uint16(port)
	}
	o.tls.transport, o.host = u.Scheme, u.Hostname()
	return nil
}

// signOnly are the options that mean nothing to an echo.
var signOnly = []string{
	"mech", "krb5", "spnego", "iakerb", "d", "dce", "seq", "noreplay", "nomutual", "user", "pass", "v1", "na", "nw", "nx", "nm",
	"concurrency", "duration", "rate", "size", "json", "bind",
}

func (o *options) checkTLS(fs *pflag.FlagSet) error {
	t := &o.tls
	if t.service != "sign" && t.service != "echo" && t.service != "push" {
		return usage(fmt.Sprintf("--service %q: known are sign, echo and push", t.service), "")
	}
	if t.service == "echo" {
		if i := slices.IndexFunc(signOnly, fs.Changed); i >= 0 {
			return usage(fmt.Sprintf("--service echo has no use for -%s: nobody proves who they are and nothing is signed", signOnly[i]), "")
		}
	}
	if !slices.Contains([]string{"off", "allow", "require"}, t.bind) {
		return usage(fmt.Sprintf("--bind %q: known are off, allow and require", t.bind), "")
	}
	if t.minimum != "1.3" && t.minimum != "1.2" {
		return usage(fmt.Sprintf("--tls-min %q: known are 1.3 and 1.2; all older versions, and SSL, are broken", t.minimum), "")
	}
	if t.transport != "tls" {
		for _, name := range []string{"tls-ca", "tls-cert", "tls-key", "tls-pkcs12", "tls-key-passphrase-file", "tls-min"} {
			if fs.Changed(name) {
				return usage(fmt.Sprintf("--%s: the connection is not TLS", name), hintURL)
			}
		}
		if t.bind == "require" {
			return usage("--bind require: plain TCP is no channel that a context could be bound to", hintURL)
		}
		return nil
	}
	switch {
	case t.pkcs12 == "" && t.cert == "" && t.key != "":
		return usage("--tls-key needs --tls-cert", "")
	case !t.shows() && t.secret != "":
		return usage("--tls-key-passphrase-file: there is no key", "--tls-cert and --tls-key, or --tls-pkcs12, name one")
	case t.pkcs12 != "" && (t.cert != "" || t.key != ""):
		return usage("--tls-pkcs12 and --tls-cert or --tls-key are two sources of the client's key", "leave one of them out")
	case t.bind == "require" && o.noauth:
		return usage("--bind require: with -na there is no context to bind", "")
	}
	return nil
}

// secure gives the client's TLS settings; nil for plain TCP.
func (o *options) secure() (*client.TLS, error) {
	t := &o.tls
	if t.transport != "tls" {
		return nil, nil
	}
	s := &client.TLS{
		Bind: map[string]client.BindPolicy{"off": client.BindOff, "allow": client.BindAllow, "require": client.BindRequire}[t.bind],
	}
	if t.minimum == "1.2" {
		s.MinVersion = tls.VersionTLS12
	}
	const doing = "reading the TLS files"
	if t.ca != "" {
		text, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, &failure{doing: doing, err: err, hint: "--tls-ca names a PEM file with the certificates of the CAs to trust"}
		}
		s.Roots = x509.NewCertPool()
		if !s.Roots.AppendCertsFromPEM(text) {
			return nil, &failure{doing: doing, err: fmt.Errorf("%s: there is no certificate in PEM form", t.ca), hint: `it begins with "-----BEGIN CERTIFICATE-----"`}
		}
	}
	if t.shows() {
		own, err := tlspolicy.ReadIdentity(tlspolicy.Config{CertFile: t.cert, KeyFile: t.key, PKCS12File: t.pkcs12, PassphraseFile: t.secret})
		if err != nil {
			f := &failure{doing: doing, err: err}
			if e, ok := errors.AsType[*tlspolicy.Error](err); ok {
				f.hint = e.Hint
			}
			return nil, f
		}
		s.Certificate = own
	}
	return s, nil
}

// shows reports whether there is a certificate to show to servers.
func (t *tlsOptions) shows() bool { return t.cert != "" || t.pkcs12 != "" }

// verdictExits are the exit codes of server certificates that are refused.
var verdictExits = map[client.Verdict]int{
	client.Untrusted: exitUntrusted,
	client.WrongName: exitWrongName,
	client.Expired:   exitExpired,
}

// exitCode is the exit code of an error of a run.
func exitCode(err error) int {
	if e, ok := errors.AsType[*client.CertificateError](err); ok && e.Verdict != client.Trusted {
		return verdictExits[e.Verdict]
	}
	return exitFailed
}

// alertProtocolVersion is what a server refuses a TLS version with (RFC 8446,
// section 6.2).
const alertProtocolVersion = 70

// tlsHint says what to do about an error of a TLS connection, "" if there is
// nothing known.
func (o *options) tlsHint(err error) string {
	if e, ok := errors.AsType[*client.CertificateError](err); ok {
		return map[client.Verdict]string{
			client.Untrusted: "--tls-ca names a file with the certificate of the server's CA, if that is to be trusted",
			client.WrongName: "connect by a name that is in the certificate: is this the right server?",
			client.Expired:   "the server needs a new certificate; is this machine's clock right?",
		}[e.Verdict]
	}
	if _, ok := errors.AsType[*client.RefusedError](err); ok {
		return "--tls-cert and --tls-key show a certificate; the server decides which are good"
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		switch {
		case e.Err.Error() != tls.AlertError(alertProtocolVersion).Error():
		case o.tls.minimum == "1.2":
			return "the server speaks neither TLS 1.2 nor 1.3: it needs a newer one"
		default:
			return "the server speaks no TLS 1.3: --tls-min 1.2 takes TLS 1.2 as well"
		}
		if !o.tls.shows() {
			return "the server ended TLS: it may want a client certificate (--tls-cert, --tls-key); its log says why"
		}
		return "the server ended TLS, for the client certificate or for the TLS version; its log says why"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "is that a TLS server? without TLS the host is written tcp://, or as a bare name"
	}
	return ""
}
