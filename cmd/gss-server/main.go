package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/echo"
	"github.com/countersign-go/countersign/server/sign"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	inetd := asksForInetd(args)
	var conn *os.File // of inetd: standard error is it, too
	if inetd {
		var err error
		if conn, err = takeDescriptors(); err != nil {
			return exitFailure // there is nobody to tell, and nowhere
		}
	}
	opts, err := parseOptions(args)
	if err == nil && opts.version {
		fmt.Println("gss-server", version())
		return exitOK
	}
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Print(help())
		return exitOK
	}
	if err == nil && opts.push.nats != "" {
		err = handOver()
	}
	log, reopen, logErr := openLog(opts, inetd)
	switch {
	case err != nil:
		report(log, inetd, conn != nil, err)
		return exitUsage
	case logErr != nil:
		report(log, inetd, conn != nil, &hintedError{what: fmt.Sprintf("opening the log file: %v", logErr), hint: logFileHint(logErr)})
		return exitFailure
	}
	if err := serve(opts, log, reopen, conn); err != nil {
		report(log, inetd, conn != nil, err)
		return exitFailure
	}
	return exitOK
}

// errReported stands for a failure that has its log record already.
var errReported = errors.New("session failed")

// serve acquires the credentials, then listens or takes the connection, and
// serves until it is over.
func serve(opts options, log *logrus.Logger, reopen func() error, conn *os.File) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	out, flush := openOutput(ctx, opts, log)
	defer flush()
	services := make(map[string]server.Service) // those that listeners share
	var pushing *pushService                    // nil: no listener asks for it
	if opts.authenticates() {
		key, err := acquire(ctx, opts)
		if err != nil {
			return fmt.Errorf("acquiring credentials for %s: %w", opts.service, err)
		}
		defer key.release()
		if opts.serves("sign") {
			if services["sign"], err = newSign(opts, key, out); err != nil {
				return err
			}
		}
		if opts.serves("push") {
			if pushing, err = newPush(opts, key, log); err != nil {
				return err
			}
			defer pushing.release()
			services["push"] = pushing
		}
	}
	policy, err := opts.tlsPolicy(log)
	if err != nil {
		return err
	}
	datagrams, keys, err := opts.dtlsTransport(out, log)
	if err != nil {
		return err
	}
	config := opts.server
	config.Service = services["sign"]
	config.Log = log
	srv, err := server.New(config)
	if err != nil {
		return err
	}
	defer onHangup(func() {
		if err := reopen(); err != nil {
			log.WithError(err).Error("cannot reopen the log file, writing on to the old one")
			if conn == nil { // nobody sees the old one if it was removed
				complain(fmt.Errorf("cannot reopen the log file, writing on to the old one: %w", err), logFileHint(err))
			}
		}
		if policy != nil {
			policy.Reload()
		}
		if keys != nil {
			reloadKeys(keys, log)
		}
		if pushing != nil {
			pushing.reload()
		}
	})()

	if opts.inetd {
		c, err := inetdConn(conn)
		if err != nil {
			return err
		}
		return reported(srv.ServeConn(ctx, c))
	}
	open, err := listen(opts, datagrams)
	if err != nil {
		return err
	}
	var listeners []net.Listener
	for _, l := range open {
		if log != nil {
			service := opts.service
			if l.endpoint.service != "sign" {
				service = l.endpoint.service
			}
			log.WithFields(logrus.Fields{"address": l.Addr().String(), "transport": l.endpoint.transport, "service": service}).Info("listening")
		}
		served := server.Listener{Listener: l.Listener, Service: services[l.endpoint.service]}
		if l.endpoint.transport == "tls" {
			served.Listener = policy.Listen(l.Listener)
		}
		if l.endpoint.service == "echo" {
			config := echo.Config{Output: out, Ack: l.endpoint.ack}
			if l.endpoint.transport == "dtls" {
				config.Output = nil // the transport's events have the messages
			}
			served.Service = echo.New(config)
		}
		listeners = append(listeners, &served)
	}
	fmt.Fprintln(os.Stderr, "starting...")
	notify("READY=1")
	defer notifyStop(ctx)()
	if opts.once {
		return reported(srv.RunOnce(ctx, listeners...))
	}
	return srv.Run(ctx, listeners...)
}

// notifyStop tells systemd when ctx ends. The function it returns sees to it
// that this was done before the program ends.
func notifyStop(ctx context.Context) (wait func()) {
	told := make(chan struct{})
	notYet := context.AfterFunc(ctx, func() {
		defer close(told)
		notify("STOPPING=1")
	})
	return func() {
		if !notYet() {
			<-told
		}
	}
}

// importer is what imports contexts with -export, nil without.
func importer(opts options) func([]byte) (gss.Context, error) {
	if !opts.export {
		return nil
	}
	return func(token []byte) (gss.Context, error) { return krb5.ImportContext(token, krb5.ImportConfig{}) }
}

// newSign makes the sign service.
func newSign(opts options, key *key, out io.Writer) (server.Service, error) {
	return sign.New(sign.Config{
		Acceptor:             key.acceptor,
		LocalName:            key.kerberos.LocalName,
		AllowUnauthenticated: opts.allowUnauthenticated,
		MaxMessage:           opts.maxMessage,
		Output:               out,
		Verbose:              opts.verbose,
		Import:               importer(opts),
	})
}

// reported marks a session's failure as logged by the server.
func reported(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); err == nil || ok && op.Op == "accept" {
		return err
	}
	return errReported
}

// report says what failed, and what to do about it where that is known: on
// standard error, unless that is the peer, and in inetd mode in the log.
func report(log *logrus.Logger, inetd, toPeer bool, err error) {
	if err == errReported {
		return
	}
	hint := ""
	if hinted, ok := errors.AsType[*hintedError](err); ok {
		hint = hinted.hint
	} else if status, ok := errors.AsType[*gss.Error](err); ok {
		hint = status.Hint
	}
	if inetd && log != nil {
		entry := logrus.NewEntry(log)
		if hint != "" {
			entry = entry.WithField("hint", hint)
		}
		entry.Error(err)
	}
	if !toPeer {
		complain(err, hint)
	}
}

// complain writes to standard error. Names in errors come from the command line
// and from files: what does not print is shown as an escape.
func complain(err error, hint string) {
	fmt.Fprintf(os.Stderr, "gss-server: %s\n", visible(err.Error()))
	if hint != "" {
		fmt.Fprintf(os.Stderr, "hint: %s\n", visible(hint))
	}
}

func visible(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			quoted := strconv.Quote(s[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// onHangup calls the function at every SIGHUP until the one it returns is called.
func onHangup(react func()) (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-hangup:
				react()
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(done)
	}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
