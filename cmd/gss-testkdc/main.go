package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/gss/gsstest"
)

// Exit codes, as usage documents them.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

const usage = `Usage: gss-testkdc --dir DIR [--realm R] [--principal NAME=PASSWORD]...
                   [--service NAME]... [--ccache NAME] [options]

Run a Kerberos realm with a KDC (UDP and TCP, one loopback port) until SIGINT or
SIGTERM. For development only: the database is in memory and gone at the end,
and passwords stand on the command line. Never use it to protect anything.

Into DIR, made when missing, it writes krb5.conf; with --service, service.keytab;
with --ccache alice, alice.ccache, which holds a ticket-granting ticket. What is
there by these names is replaced, and stays when the command ends.

It prints to standard output the export lines that make Kerberos programs use
the realm, then a line that says "ready", and nothing more. Requests are
reported on standard error, one line each, unless --quiet.

Options:
`

const examples = `
Exit status: 0 after SIGINT or SIGTERM, and for --help; 1 when something failed;
2 for a command line that makes no sense.

Examples:
  gss-testkdc --dir /tmp/realm --principal alice=secret --service host/localhost
  gss-testkdc --dir /tmp/realm --realm EXAMPLE.ORG --principal alice=secret \
      --service host/localhost --ccache alice --quiet > /tmp/env &
  until grep -qx ready /tmp/env; do sleep 0.1; done
  eval "$(grep '^export ' /tmp/env)" && klist
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run serves until ctx ends and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprint(stdout, usage+o.flags.FlagUsages()+examples)
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "gss-testkdc: reading the command line: %v\nhint: gss-testkdc --help\n", err)
		return exitUsage
	}
	if err := serve(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "gss-testkdc: %v\n", err)
		return exitFailure
	}
	return exitOK
}

type options struct {
	flags      *pflag.FlagSet
	realm      string
	dir        string
	listen     string
	principals []string
	services   []string
	enctypes   []string
	ccache     string
	quiet      bool
}

func parse(args []string) (*options, error) {
	o := &options{flags: pflag.NewFlagSet("gss-testkdc", pflag.ContinueOnError)}
	o.flags.SortFlags = false
	o.flags.Usage = func() {}
	o.flags.SetOutput(io.Discard)
	o.flags.StringVar(&o.dir, "dir", "", "directory for krb5.conf, service.keytab and caches (required)")
	o.flags.StringVar(&o.realm, "realm", "GSSTEST.EXAMPLE", "name of the realm")
	o.flags.StringArrayVar(&o.principals, "principal", nil, "user with password, as `NAME=PASSWORD` (repeatable)")
	o.flags.StringArrayVar(&o.services, "service", nil, "service with random keys, such as host/localhost (repeatable)")
	o.flags.StringVar(&o.ccache, "ccache", "", "user to write a credential cache for")
	o.flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "loopback address and port; with port 0 the system chooses")
	o.flags.StringArrayVar(&o.enctypes, "enctype", nil, "encryption type of all keys, preferred first (repeatable;\nall of aes256-cts-hmac-sha1-96, aes128-cts-hmac-sha1-96,\naes256-cts-hmac-sha384-192, aes128-cts-hmac-sha256-128 unless given)")
	o.flags.BoolVar(&o.quiet, "quiet", false, "do not report requests")
	if err := o.flags.Parse(args); err != nil {
		return o, err
	}
	if o.flags.NArg() > 0 {
		return o, fmt.Errorf("%q: no arguments are taken", o.flags.Arg(0))
	}
	if o.dir == "" {
		return o, errors.New("--dir is missing")
	}
	for _, p := range o.principals {
		if name, _, ok := strings.Cut(p, "="); !ok || name == "" {
			return o, errors.New("--principal takes NAME=PASSWORD")
		}
	}
	for _, name := range o.enctypes {
		if enctypes[name] == 0 {
			return o, fmt.Errorf("--enctype %q is not supported", name)
		}
	}
	return o, nil
}

// enctypes maps the names of RFC 3962 and RFC 8009, MIT's short ones, and the
// numbers.
var enctypes = map[string]int32{
	"aes128-cts-hmac-sha1-96": 17, "aes128-cts": 17, "aes128-sha1": 17, "17": 17,
	"aes256-cts-hmac-sha1-96": 18, "aes256-cts": 18, "aes256-sha1": 18, "18": 18,
	"aes128-cts-hmac-sha256-128": 19, "aes128-sha2": 19, "19": 19,
	"aes256-cts-hmac-sha384-192": 20, "aes256-sha2": 20, "20": 20,
}

func serve(ctx context.Context, o *options, stdout, stderr io.Writer) error {
	fmt.Fprintln(stderr, "gss-testkdc: for development only: a throwaway realm that protects nothing")
	config := gsstest.Config{Name: o.realm, Listen: o.listen}
	for _, name := range o.enctypes {
		config.Enctypes = append(config.Enctypes, enctypes[name])
	}
	if !o.quiet {
		config.OnEvent = newReporter(stderr).report
	}
	realm, err := gsstest.NewRealm(config)
	if err != nil {
		return fmt.Errorf("starting the realm: %w%s", err, listenHint(err))
	}
	defer realm.Close()
	for _, p := range o.principals {
		name, password, _ := strings.Cut(p, "=")
		if err := realm.AddUser(name, password); err != nil {
			return fmt.Errorf("adding a user: %w", err)
		}
	}
	for _, name := range o.services {
		if err := realm.AddService(name); err != nil {
			return fmt.Errorf("adding a service: %w", err)
		}
	}
	exports, err := writeFiles(realm, o)
	if err != nil {
		return err
	}
	for _, e := range exports {
		if _, err := fmt.Fprintf(stdout, "export %s=%s\n", e.name, shellQuote(e.value)); err != nil {
			return fmt.Errorf("printing the environment: %w", err)
		}
	}
	if _, err := fmt.Fprintln(stdout, "ready"); err != nil {
		return fmt.Errorf("printing the environment: %w", err)
	}
	<-ctx.Done()
	return nil
}

func listenHint(err error) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return "\nhint: another program has the port: leave --listen away, or give it port 0"
	}
	return ""
}

// export is an environment variable to set.
type export struct{ name, value string }

// writeFiles fills the directory and returns what points at it.
func writeFiles(realm *gsstest.Realm, o *options) ([]export, error) {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, fmt.Errorf("finding the directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory: %w", err)
	}
	path := filepath.Join(dir, "krb5.conf")
	exports := []export{{"KRB5_CONFIG", path}}
	if err := replaceFile(path, realm.Krb5Conf(), 0o644); err != nil {
		return nil, err
	}
	if len(o.services) > 0 {
		keytab, err := realm.Keytab(o.services...)
		if err != nil {
			return nil, fmt.Errorf("making the keytab: %w", err)
		}
		path := filepath.Join(dir, "service.keytab")
		if err := replaceFile(path, keytab, 0o600); err != nil {
			return nil, err
		}
		exports = append(exports, export{"KRB5_KTNAME", "FILE:" + path})
	}
	if o.ccache != "" {
		cache, err := userCache(realm, o)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, o.ccache+".ccache")
		if err := replaceFile(path, cache, 0o600); err != nil {
			return nil, err
		}
		exports = append(exports, export{"KRB5CCNAME", "FILE:" + path})
	}
	return exports, nil
}

func userCache(realm *gsstest.Realm, o *options) ([]byte, error) {
	if strings.ContainsAny(o.ccache, `/\@`) {
		return nil, fmt.Errorf("making the credential cache: --ccache %q: a user without instance and realm is wanted", o.ccache)
	}
	for _, p := range o.principals {
		if name, _, _ := strings.Cut(p, "="); name == o.ccache {
			cache, err := realm.CCache(o.ccache)
			if err != nil {
				err = fmt.Errorf("making the credential cache: %w", err)
			}
			return cache, err
		}
	}
	return nil, fmt.Errorf("making the credential cache: no such user: %q\nhint: add --principal %s=PASSWORD", o.ccache, o.ccache)
}

// replaceFile puts content in place of a file at once, never through a link
// that stands there, and with these permissions from the first byte on.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".gss-testkdc-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// shellQuote quotes for POSIX shells.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
