package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/countersign-go/countersign/client"
)

// echo sends the message to a server that sends it back, prints what comes, and
// compares.
func (o *options) echo(ctx context.Context, p *printer) error {
	msg, err := o.message()
	if err != nil {
		return err
	}
	if len(msg) == 0 {
		return &failure{doing: "sending message", err: errors.New("an empty message has no echo")}
	}
	if o.tls.transport == "dtls" {
		return o.echoDatagrams(ctx, msg, p)
	}
	secured, err := o.secure()
	if err != nil {
		return err
	}
	cfg := client.Config{Addr: o.addr(), TLS: secured, Timeout: o.timeout}
	for range o.ccount {
		if err := o.echoOnce(ctx, cfg, msg, p); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) echoOnce(ctx context.Context, cfg client.Config, msg []byte, p *printer) error {
	conn, err := client.Connect(ctx, cfg)
	if err != nil {
		return o.explain(err)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	for range o.mcount {
		answer, err := client.Echo(conn, msg, o.timeout)
		if len(answer) > 0 && !p.quiet {
			fmt.Fprintf(p.out, "Received %d bytes: %q\n", len(answer), answer)
		}
		if err != nil {
			return o.explain(err)
		}
		if !p.quiet {
			fmt.Fprintln(p.out, "Echo verified.")
		}
	}
	return p.flush()
}
