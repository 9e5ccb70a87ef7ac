package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/token"
)

// options are what the command line says.
type options struct {
	service string

	port     uint16
	portSet  bool
	listen   []string
	listenOn []endpoint
	inetd    bool
	once     bool

	mech      string
	mechanism gss.OID // that mech names; empty: all
	keytab    string

	allowUnauthenticated bool
	verbose              bool
	logFile              string
	logFormat            string

	server     server.Config
	maxMessage int

	tls  tlsOptions
	dtls dtlsOptions
	push pushOptions

	export  bool
	iakerb  bool
	version bool
}

// A hintedError says what is wrong and what to do about it.
type hintedError struct {
	what string
	hint string
}

func (e *hintedError) Error() string { return e.what }

const seeHelp = `"gss-server --help" lists the options`

func (o *options) flags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("gss-server", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetInterspersed(false)
	fs.Usage = func() {}
	fs.Uint16Var(&o.port, "port", 4444, "listen on this TCP `port` of all addresses; 0: a free one")
	fs.StringArrayVar(&o.listen, "listen", nil, "listen there instead, any number of times: a `URL`, as below, or host:port")
	fs.BoolVar(&o.inetd, "inetd", false, "serve the one connection on descriptor 0, for inetd, xinetd and systemd")
	fs.BoolVar(&o.once, "once", false, "serve one connection, then exit with its result")
	fs.StringVar(&o.mech, "mech", "", "accept this `mechanism` only: a name, 1.2.3 or { 1 2 3 }; the default is recommended")
	fs.StringVar(&o.keytab, "keytab", "", "take the service's keys from this `file` (default KRB5_KTNAME, krb5.conf)")
	fs.BoolVar(&o.allowUnauthenticated, "allow-unauthenticated", false, "print the messages of clients without a context, too")
	fs.BoolVar(&o.verbose, "verbose", false, "show every token's size and bytes, log more")
	fs.StringVar(&o.logFile, "logfile", "", "append log records to this `file`; - is standard error (default -; syslog with -inetd)")
	fs.StringVar(&o.logFormat, "log-format", "text", "`format`: text or json")
	fs.IntVar(&o.server.MaxConnections, "max-connections", server.DefaultMaxConnections, "this `number` of connections at once, the silent ones making room")
	fs.IntVar(&o.maxMessage, "max-message", token.DefaultMaxLength, "refuse messages of more than this many `bytes`; push: 65536 unless given")
	fs.DurationVar(&o.server.HandshakeTimeout, "handshake-timeout", server.DefaultHandshakeTimeout, "`time` for TLS and to establish a context")
	fs.DurationVar(&o.server.MessageTimeout, "message-timeout", server.DefaultMessageTimeout, "`time` for a message and its answer")
	fs.DurationVar(&o.server.IdleTimeout, "idle-timeout", server.DefaultIdleTimeout, "`time` between messages")
	fs.DurationVar(&o.server.Grace, "grace", server.DefaultGrace, "`time` for running exchanges when told to stop")
	o.tls.flags(fs)
	o.dtls.flags(fs)
	o.push.flags(fs)
	fs.BoolVar(&o.export, "export", false, "export each context, import it again and go on with that one")
	fs.BoolVar(&o.iakerb, "iakerb", false, "accept IAKERB, too: ask the KDC for clients that cannot reach it")
	fs.BoolVar(&o.version, "version", false, "print the version")
	return fs
}

func help() string {
	return `Usage: gss-server [options] service
       gss-server [options] --listen 'tls://:4446?service=echo' ...

Accepts connections, establishes a GSS-API context with each client, prints the
messages it receives, and answers each with its MIC. service is a host-based
service, as service@host; without @host any key of that service will do. Where
every listener echoes, none is given.

Options (a single dash does, too):
` + new(options).flags().FlagUsagesWrapped(80) + `
Listeners are written transport://host:port?service=S. Transports are tcp, tls
and, for echo alone, dtls; services are sign, unless another is given, echo,
which sends back what comes, and push. host:port alone is tcp.

Push: clients subscribe to groups, publish to them, and send to each other. Who
one is, the context says. Without a policy whoever Kerberos knows may read and
publish; lines of one, with * in names, and # before comments:
  group 1 "R&D Department"
  read 1,3 *@EXAMPLE.COM
  publish 1,2 alice@EXAMPLE.COM */admin@EXAMPLE.COM
  arrive 1,3 *@EXAMPLE.COM

Client certificates: none are asked for; report: whatever comes, the connection
stands, and the log tells; verify: a client without a valid one is told why in a
line of text; require: it fails the handshake. Certificates and CRLs that are
replaced count from the next handshake on.

Signals: INT and TERM stop it, once running exchanges are over; HUP reopens the
log file and reads certificates, CRLs, pre-shared keys and the push policy again.
Exit status: 0 it did what it was asked to; 1 it could not, or, with -once and
-inetd, the session failed; 2 the command line is wrong.

Examples:
  gss-server host@server.example
  gss-server -port 5555 -verbose -logfile /var/log/gss-server.log host
  gss-server --keytab /etc/gss/service.keytab --log-format json host@server.example
  gss-server --listen tls://:4445 --tls-cert server.crt --tls-key server.key \
      --bind require host@server.example
  gss-server --listen 'tls://:4448?service=push' --tls-cert server.crt \
      --tls-key server.key --group '1=R&D Department' --group 2=Production \
      host@server.example

  inetd.conf, as a user that can read the keytab:
  4444 stream tcp nowait gss /usr/local/bin/gss-server gss-server -inetd host@server.example
`
}

// asksForInetd looks for -inetd before anything else is known: from then on
// nothing may be written to descriptors 1 and 2, not even that an option is
// wrong.
func asksForInetd(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		return strings.TrimLeft(a, "-") == "inetd" && strings.HasPrefix(a, "-")
	})
}

// parseOptions reads the command line. Its errors are [*hintedError], or
// [pflag.ErrHelp].
func parseOptions(args []string) (options, error) {
	var o options
	fs := o.flags()
	args, err := twoDashes(fs, args)
	if err != nil {
		return o, err
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return o, err
		}
		return o, &hintedError{what: wrongValue(err), hint: seeHelp}
	}
	o.portSet = fs.Changed("port")
	if o.version {
		return o, nil
	}
	return o, o.check(fs)
}

// wrongValue says in words what pflag could not read.
func wrongValue(err error) string {
	wrong, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err.Error()
	}
	want := ""
	switch wrong.GetFlag().Value.Type() {
	case "uint16":
		want = "a number from 0 to 65535"
	case "int":
		want = "a whole number, below 2^63"
	case "duration":
		want = "a time, such as 30s, 5m or 1h"
	case "bool":
		want = "true or false"
	}
	return fmt.Sprintf("--%s %s: it has to be %s", wrong.GetFlag().Name, wrong.GetValue(), want)
}

// checkEmpty refuses options without a value, which a script makes of variables
// that are not set.
func checkEmpty(fs *pflag.FlagSet) error {
	var err error
	fs.Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		if f.Value.Type() == "stringArray" && slices.Contains(f.Value.(pflag.SliceValue).GetSlice(), "") {
			value = ""
		}
		if value == "" && err == nil {
			err = &hintedError{what: fmt.Sprintf("--%s has an empty value", f.Name), hint: "leave the option out for its default; if a script makes the value of a variable, that is not set"}
		}
	})
	return err
}

func (o *options) check(fs *pflag.FlagSet) error {
	if err := checkEmpty(fs); err != nil {
		return err
	}
	for _, text := range o.listen {
		e, err := parseEndpoint(text)
		if err != nil {
			return err
		}
		o.listenOn = append(o.listenOn, e)
	}
	if err := o.checkTLS(fs); err != nil {
		return err
	}
	if err := o.checkDTLS(fs); err != nil {
		return err
	}
	if err := o.checkPush(fs); err != nil {
		return err
	}
	switch {
	case fs.NArg() == 0 && o.authenticates():
		return &hintedError{what: "no service name", hint: "name the service whose key is in the keytab, as in: gss-server host@server.example"}
	case fs.NArg() > 1:
		return extraArguments(fs.Args())
	case fs.NArg() == 1 && !o.authenticates():
		return &hintedError{what: fmt.Sprintf("%s: no listener has the sign or the push service", fs.Arg(0)), hint: "leave the name out, or a service=echo"}
	case fs.Changed("port") && fs.Changed("listen"):
		return &hintedError{what: "-port and --listen contradict each other", hint: "--listen takes the port, too, as in --listen 127.0.0.1:4444"}
	case o.logFormat != "text" && o.logFormat != "json":
		return &hintedError{what: fmt.Sprintf("--log-format %q: known are text and json", o.logFormat), hint: seeHelp}
	case o.inetd && o.logFile == "-":
		return &hintedError{what: "-logfile -: standard error is the client with -inetd", hint: "give a file, or leave it out for syslog"}
	case o.maxMessage > token.MaxLength:
		return &hintedError{what: fmt.Sprintf("--max-message %d: it has to be at most %d", o.maxMessage, token.MaxLength), hint: "that is as much as a message can have"}
	case o.maxMessage == 0:
		return &hintedError{what: "--max-message 0 leaves no room for any message", hint: seeHelp}
	}
	for _, name := range []string{"max-connections", "max-message", "handshake-timeout", "message-timeout", "idle-timeout", "grace"} {
		if v := fs.Lookup(name).Value.String(); strings.HasPrefix(v, "-") || v == "0" || v == "0s" {
			return &hintedError{what: fmt.Sprintf("--%s %s: it has to be more than 0", name, v), hint: seeHelp}
		}
	}
	o.service = fs.Arg(0)
	if o.mech == "" {
		return nil
	}
	return o.checkMechanism()
}

// serves reports whether a service is asked for.
func (o *options) serves(service string) bool {
	if o.inetd {
		return service == "sign"
	}
	return o.any(func(e endpoint) bool { return e.service == service })
}

// authenticates reports whether clients are authenticated, which takes a keytab.
func (o *options) authenticates() bool { return o.serves("sign") || o.serves("push") }

// checkMechanism refuses what cannot be accepted.
func (o *options) checkMechanism() error {
	oid, err := gss.ParseMechanism(o.mech)
	switch {
	case err != nil:
		return &hintedError{what: "-mech: " + err.Error(), hint: "leave -mech out: the default mechanism is recommended"}
	case oid == gss.MechKrb5 || oid == gss.MechSPNEGO:
		o.mechanism = oid
		return nil
	case oid == gss.MechIAKERB:
		o.mechanism, o.iakerb = oid, true
		return nil
	default:
		return &hintedError{
			what: fmt.Sprintf("-mech %s: unknown mechanism %s; known are %s (%s), %s (%s) and %s (%s)", o.mech, oid,
				gss.MechKrb5.Name(), gss.MechKrb5, gss.MechSPNEGO.Name(), gss.MechSPNEGO, gss.MechIAKERB.Name(), gss.MechIAKERB),
			hint: "leave -mech out: the default mechanism is recommended",
		}
	}
}

func extraArguments(args []string) error {
	e := &hintedError{what: fmt.Sprintf("unexpected arguments after the service name: %s", strings.Join(args[1:], " "))}
	if strings.HasPrefix(args[1], "-") {
		e.hint = "options go before the service name"
	} else {
		e.hint = `the service name is all that gss-server takes; host, service and message are for the client: gss-client HOST SERVICE "MESSAGE"`
	}
	return e
}

// twoDashes writes the long options that Sun's and MIT's programs spell with one
// dash as pflag knows them. Options end before the service name or at "--".
func twoDashes(fs *pflag.FlagSet, args []string) ([]string, error) {
	var out []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "-" || arg == "--" || !strings.HasPrefix(arg, "-") {
			return append(out, args[i:]...), nil
		}
		option := strings.TrimPrefix(arg[1:], "-")
		name, _, hasValue := strings.Cut(option, "=")
		if name == "help" || name == "h" {
			return nil, pflag.ErrHelp
		}
		flag := fs.Lookup(name)
		if flag == nil {
			return nil, &hintedError{what: "unknown option " + arg, hint: seeHelp}
		}
		out = append(out, "--"+option)
		if takesValue := flag.NoOptDefVal == ""; takesValue && !hasValue && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out, nil
}
