package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/gss/spnego"
)

// Exit codes, as help and manual page document them.
const (
	exitVerified = 0
	exitFailed   = 1
	exitUsage    = 2

	// The server's certificate was refused.
	exitUntrusted = 3
	exitWrongName = 4
	exitExpired   = 5
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run does what the command line says and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, help)
		return exitVerified
	case err != nil:
		complain(stderr, err)
		return exitUsage
	case o.version:
		fmt.Fprintln(stdout, "gss-client "+version())
		return exitVerified
	}
	p := &printer{out: bufio.NewWriter(stdout), quiet: o.quiet || o.load || o.push.asked}
	switch {
	case o.load:
		err = o.runLoad(ctx, p, stderr)
	case o.push.asked:
		err = o.runPush(ctx, p, stdout, stderr)
	case o.tls.service == "echo":
		err = o.echo(ctx, p)
	default:
		err = o.run(ctx, p)
	}
	p.endLine() // an error has a line of its own
	if ferr := p.flush(); err == nil {
		err = ferr
	}
	if err != nil {
		complain(stderr, err)
		return exitCode(err)
	}
	return exitVerified
}

func (o *options) run(ctx context.Context, p *printer) error {
	msg, err := o.message()
	if err != nil {
		return err
	}
	cfg, err := o.config(ctx, p)
	if err != nil {
		return err
	}
	for range o.ccount {
		if err := o.call(ctx, cfg, msg, p); err != nil {
			return err
		}
	}
	return nil
}

// config makes the client's configuration of the options, which takes getting
// a credential.
func (o *options) config(ctx context.Context, p *printer) (client.Config, error) {
	cfg := client.Config{
		Addr:            o.addr(),
		Version:         o.framing(),
		Unwrapped:       o.nowrap,
		Unencrypted:     o.noencrypt,
		NoMIC:           o.nomic,
		Unauthenticated: o.noauth,
		Timeout:         o.timeout,
		Trace:           p.trace(),
	}
	var err error
	if cfg.TLS, err = o.secure(); err != nil {
		return cfg, err
	}
	if o.noauth {
		return cfg, nil
	}
	initiator, err := o.initiator(ctx)
	if err != nil {
		return cfg, err
	}
	cfg.Initiator = initiator
	cfg.Target = gss.HostService(o.service)
	cfg.Flags = o.contextFlags()
	return cfg, nil
}

// initiator makes contexts as the options have it.
func (o *options) initiator(ctx context.Context) (gss.Initiator, error) {
	if o.iakerb && o.password != "" {
		// The ticket is got by way of the server, with the first context.
		initiator, err := krb5.NewIAKERBInitiator(krb5.IAKERBInitiatorConfig{Name: gss.UserName(o.user), Password: o.password})
		if err != nil {
			return nil, &failure{doing: acquiring, err: err}
		}
		return initiator, nil
	}
	// MIT's client acquires a credential of its own only for a user's name.
	doing := string(client.Initializing)
	request := krb5.CredentialConfig{Usage: gss.InitiateOnly, Password: o.password}
	if o.user != "" {
		doing = acquiring
		request.Name = gss.UserName(o.user)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	cred, err := krb5.AcquireCredential(ctx, request)
	if err != nil {
		return nil, &failure{doing: doing, err: err}
	}
	var initiator gss.Initiator
	if o.iakerb {
		initiator, err = krb5.NewIAKERBInitiator(krb5.IAKERBInitiatorConfig{Credential: cred})
	} else {
		initiator, err = krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	}
	if err == nil && o.spnego {
		initiator, err = spnego.NewInitiator(initiator)
	}
	if err != nil {
		return nil, &failure{doing: doing, err: err}
	}
	return initiator, nil
}

const acquiring = "acquiring creds" // in MIT's words

// call is one connection with all its messages.
func (o *options) call(ctx context.Context, cfg client.Config, msg []byte, p *printer) error {
	session, err := client.Dial(ctx, cfg)
	if err != nil {
		return o.explain(err)
	}
	defer context.AfterFunc(ctx, func() { session.Close() })()
	if !o.noauth {
		p.established(session.Info())
	}
	for range o.mcount {
		if _, err := session.Sign(msg); err != nil {
			session.Close()
			return o.explain(err)
		}
		p.answered(!o.nomic && !o.noauth)
	}
	// All was verified: a server that is gone already takes nothing from that.
	_ = session.Close()
	return p.flush()
}
