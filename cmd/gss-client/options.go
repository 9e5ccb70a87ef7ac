package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// options are a command line as read and checked.
type options struct {
	port      uint16
	mech      string
	krb5      bool
	spnego    bool
	iakerb    bool
	delegate  bool
	dce       bool
	sequence  bool
	noreplay  bool
	nomutual  bool
	user      string
	password  string
	file      bool
	quiet     bool
	ccount    int
	mcount    int
	v1        bool
	noauth    bool
	nowrap    bool
	noencrypt bool
	nomic     bool
	timeout   time.Duration
	version   bool

	load        bool // any of the next five was given, and no push
	concurrency int
	duration    time.Duration
	rate        float64
	size        int
	json        bool

	tls  tlsOptions
	psk  pskOptions
	push pushOptions

	host    string
	service string
	msg     string
}

func newFlags(o *options) *pflag.FlagSet {
	fs := pflag.NewFlagSet("gss-client", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.Uint16Var(&o.port, "port", 4444, "")
	fs.StringVar(&o.mech, "mech", "", "")
	fs.BoolVar(&o.krb5, "krb5", false, "")
	fs.BoolVar(&o.spnego, "spnego", false, "")
	fs.BoolVar(&o.iakerb, "iakerb", false, "")
	fs.BoolVar(&o.delegate, "d", false, "")
	fs.BoolVar(&o.dce, "dce", false, "")
	fs.BoolVar(&o.sequence, "seq", false, "")
	fs.BoolVar(&o.noreplay, "noreplay", false, "")
	fs.BoolVar(&o.nomutual, "nomutual", false, "")
	fs.StringVar(&o.user, "user", "", "")
	fs.StringVar(&o.password, "pass", "", "")
	fs.BoolVar(&o.file, "f", false, "")
	fs.BoolVar(&o.quiet, "q", false, "")
	fs.IntVar(&o.ccount, "ccount", 1, "")
	fs.IntVar(&o.mcount, "mcount", 1, "")
	fs.BoolVar(&o.v1, "v1", false, "")
	fs.BoolVar(&o.noauth, "na", false, "")
	fs.BoolVar(&o.nowrap, "nw", false, "")
	fs.BoolVar(&o.noencrypt, "nx", false, "")
	fs.BoolVar(&o.nomic, "nm", false, "")
	fs.DurationVar(&o.timeout, "timeout", client.DefaultTimeout, "")
	fs.BoolVar(&o.version, "version", false, "")
	fs.IntVar(&o.concurrency, "concurrency", 1, "")
	fs.DurationVar(&o.duration, "duration", 0, "")
	fs.Float64Var(&o.rate, "rate", 0, "")
	fs.IntVar(&o.size, "size", 0, "")
	fs.BoolVar(&o.json, "json", false, "")
	o.tls.flags(fs)
	o.psk.flags(fs)
	o.push.flags(fs)
	fs.BoolP("help", "h", false, "")
	return fs
}

// parse reads a command line. Its errors are for people: pflag.ErrHelp, or
// complaints with a hint.
func parse(args []string) (*options, error) {
	o := &options{}
	fs := newFlags(o)
	flags, rest, err := splitFlags(fs, args)
	if err != nil {
		return nil, err
	}
	if err := fs.Parse(flags); err != nil {
		return nil, usage(strings.TrimPrefix(err.Error(), "pflag: "), hintHelp)
	}
	if asked, _ := fs.GetBool("help"); asked {
		return nil, pflag.ErrHelp
	}
	if o.version {
		return o, nil
	}
	if err := o.settlePush(fs); err != nil {
		return nil, err
	}
	for _, name := range []string{"concurrency", "duration", "rate", "size", "json"} {
		o.load = o.load || fs.Changed(name) && !o.push.asked
	}
	if err := o.positional(rest, fs.Changed("size")); err != nil {
		return nil, err
	}
	if err := o.splitURL(fs.Changed("port")); err != nil {
		return nil, err
	}
	if name, port, ok := strings.Cut(o.host, ":"); ok && !strings.Contains(port, ":") {
		return nil, usage(fmt.Sprintf("%q is no host", o.host), fmt.Sprintf("-port %s %s", port, name))
	}
	if err := o.check(fs); err != nil {
		return nil, err
	}
	return o, nil
}

const hintHelp = "gss-client --help"

// splitFlags divides a command line into the options before the host, written
// --name=value for pflag whether they came with one dash or two, and the rest.
func splitFlags(fs *pflag.FlagSet, args []string) (flags, rest []string, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" || len(arg) < 2 || arg[0] != '-' {
			return flags, args[i:], nil
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		if name == "h" || name == "?" {
			name = "help"
		}
		f := fs.Lookup(name)
		if f == nil {
			return nil, nil, usage(fmt.Sprintf("unknown option %s", arg), hintHelp)
		}
		if !hasValue && f.NoOptDefVal == "" { // not a boolean
			if i++; i == len(args) {
				return nil, nil, usage(fmt.Sprintf("option %s needs a value", arg), hintHelp)
			}
			value, hasValue = args[i], true
		}
		if hasValue {
			name += "=" + value
		}
		flags = append(flags, "--"+name)
	}
	return flags, nil, nil
}

// positional reads host, service and message. After the service -f with an
// argument is the one option there is, as in Sun's client; "--" ends options.
// Where the message is made up, none is given.
func (o *options) positional(rest []string, madeUp bool) error {
	literal := len(rest) > 0 && rest[0] == "--"
	if literal {
		rest = rest[1:]
	}
	if o.tls.service == "echo" && len(rest) > 1 {
		rest = append([]string{rest[0], "echo"}, rest[1:]...) // there is no service to prove to be the right one
	}
	if len(rest) > 3 && !literal {
		switch rest[2] {
		case "-f", "--f":
			o.file = true
			rest = append(rest[:2:2], rest[3:]...)
		case "--":
			rest = append(rest[:2:2], rest[3:]...)
		}
	}
	if madeUp {
		if len(rest) > 2 || o.file {
			return usage("--size makes the message up: none is to be given, nor -f", hintHelp)
		}
		if len(rest) == 2 {
			rest = append(rest, "")
		}
	}
	if o.push.asked && !o.push.sends() {
		if len(rest) > 2 {
			return usage(fmt.Sprintf("%q: a message goes with --publish or --to only", rest[2]), hintPush)
		}
		if len(rest) == 2 {
			rest = append(rest, "")
		}
	}
	switch {
	case len(rest) < 3:
		missing := []string{"host", "service", "message"}[len(rest):]
		if o.tls.service == "echo" {
			missing = []string{"host", "message"}[len(rest):]
		}
		return usage("missing: "+strings.Join(missing, ", "), hintHelp)
	case len(rest) > 3:
		hint := "a message of several words goes in quotes"
		if strings.HasPrefix(rest[3], "-") {
			hint = "options go before the host"
		}
		return usage(fmt.Sprintf("%q: no argument is taken after the message", rest[3]), hint)
	case strings.Trim(rest[0], "[]") == "":
		return usage("the host is empty", hintHelp)
	case rest[1] == "":
		return usage("the service is empty", "a service is written service@host, such as host@localhost")
	}
	o.host, o.service, o.msg = strings.TrimSuffix(strings.TrimPrefix(rest[0], "["), "]"), rest[1], rest[2]
	return nil
}

// check refuses what makes no sense or is not there.
func (o *options) check(fs *pflag.FlagSet) error {
	if err := o.checkMechanism(); err != nil {
		return err
	}
	if err := o.checkTLS(fs); err != nil {
		return err
	}
	if err := o.checkPush(fs); err != nil {
		return err
	}
	if err := o.checkPSK(fs); err != nil {
		return err
	}
	switch {
	case o.port == 0:
		return usage("-port 0: a port is a number from 1 to 65535", "")
	case o.ccount < 1:
		return usage(fmt.Sprintf("-ccount %d: at least 1", o.ccount), "")
	case o.mcount < 1:
		// MIT's client takes 0, and exits as if something had been verified.
		return usage(fmt.Sprintf("-mcount %d: at least 1", o.mcount), "")
	case o.timeout <= 0:
		return usage(fmt.Sprintf("--timeout %v: more than 0, such as 10s", o.timeout), "")
	case fs.Changed("pass") && o.password == "":
		return usage("-pass: the password is empty", "")
	case fs.Changed("pass") && o.user == "":
		return usage("-pass needs -user", "")
	case o.v1 && (o.noauth || o.nowrap || o.nomic):
		return usage("-v1 goes without -na, -nw and -nm: that framing has no flags to tell the server of them", "")
	}
	return o.checkLoad(fs)
}

// checkMechanism settles which mechanism -mech, -krb5, -spnego and -iakerb mean.
func (o *options) checkMechanism() error {
	const known = "known are kerberos_v5 or krb5 (1.2.840.113554.1.2.2, { 1 2 840 113554 1 2 2 }), spnego (1.3.6.1.5.5.2, { 1 3 6 1 5 5 2 }) and iakerb (1.3.6.1.5.2.5, { 1 3 6 1 5 2 5 })"
	switch oid, err := gss.ParseMechanism(o.mech); {
	case o.mech == "":
	case err != nil:
		return usage(fmt.Sprintf("-mech %s: %v", o.mech, gss.ErrBadMech), known)
	case oid == gss.MechKrb5:
		o.krb5 = true
	case oid == gss.MechSPNEGO:
		o.spnego = true
	case oid == gss.MechIAKERB:
		o.iakerb = true
	default:
		return usage(fmt.Sprintf("-mech %s: %v", o.mech, gss.ErrBadMech), known)
	}
	switch {
	case o.krb5 && (o.spnego || o.iakerb) || o.spnego && o.iakerb:
		return usage("-mech, -krb5, -spnego and -iakerb contradict each other", "give one of them")
	case o.iakerb && o.password == "" && o.user != "":
		return usage("-iakerb: -user needs -pass", "")
	}
	return nil
}

func (o *options) addr() string { return net.JoinHostPort(o.host, strconv.Itoa(int(o.port))) }

func (o *options) framing() token.Version {
	if o.v1 {
		return token.V1
	}
	return token.V2
}

// contextFlags are those that MIT's client asks for. Confidentiality and
// integrity are Kerberos' own in any case.
func (o *options) contextFlags() gss.Flags {
	flags := gss.Confidentiality | gss.Integrity
	if !o.nomutual {
		flags |= gss.Mutual
	}
	if !o.noreplay {
		flags |= gss.ReplayDetection
	}
	if o.sequence {
		flags |= gss.Sequencing
	}
	if o.delegate {
		flags |= gss.Delegation
	}
	if o.dce {
		flags |= gss.DCEStyle
	}
	return flags
}

// message is what is to be sent: the last argument, or its file's content.
func (o *options) message() ([]byte, error) {
	if o.size > 0 {
		return bytes.Repeat([]byte{'x'}, o.size), nil
	}
	if !o.file {
		return []byte(o.msg), nil
	}
	f, err := os.Open(o.msg)
	if err != nil {
		return nil, &failure{doing: "reading the message", err: err, hint: fileHint(err)}
	}
	defer f.Close()
	msg, err := io.ReadAll(io.LimitReader(f, token.DefaultMaxLength+1))
	if err != nil {
		return nil, &failure{doing: "reading the message", err: err, hint: fileHint(err)}
	}
	if len(msg) > token.DefaultMaxLength {
		return nil, &failure{doing: "reading the message", err: fmt.Errorf("%s is longer than %d bytes, and no frame holds more", o.msg, token.DefaultMaxLength), hint: "send it in parts"}
	}
	return msg, nil
}

func fileHint(err error) string {
	if errors.Is(err, os.ErrNotExist) {
		return "with -f the message is the name of a file"
	}
	return ""
}

// version is that of the module the program was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
