package sign

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/server/contexts"
	"github.com/countersign-go/countersign/token"
)

// establish accepts a context, bound to the channel that it comes by if that has
// bindings. first is the token that was read already, nil if none was.
func (x *exchange) establish(ctx context.Context, first []byte) error {
	carrier := &carrier{conn: x.conn, first: first}
	if x.cfg.Verbose {
		carrier.out = x.out
	}
	sec, err := gss.Accept(ctx, carrier, x.cfg.Acceptor, contexts.Bindings(x.session))
	if err != nil {
		if _, ok := errors.AsType[*gss.Error](err); ok {
			return x.fail("accepting context", err)
		}
		return fmt.Errorf("accepting context: %w", err)
	}
	info := sec.Inquire()
	x.sec, x.delegated = sec, info.Delegated
	x.sequenced = info.Flags&gss.Sequencing != 0
	if x.out != nil || x.session.Logs(logrus.WarnLevel) {
		x.show(info)
	}
	if x.cfg.Import == nil {
		return nil
	}
	return x.moveContext()
}

// moveContext exports the context and goes on with the imported one, as a
// server does that hands its sessions to other processes.
func (x *exchange) moveContext() error {
	start := time.Now()
	tok, err := x.sec.Export()
	if err != nil {
		return x.fail("exporting context", err)
	}
	exported := time.Now()
	sec, err := x.cfg.Import(tok)
	if err != nil {
		return x.fail("importing context", err)
	}
	x.sec = sec
	x.out.moved(len(tok), exported.Sub(start), time.Since(exported))
	clear(tok) // it held the keys
	return nil
}

// show prints and logs whose context it is.
func (x *exchange) show(info gss.Info) {
	var local string
	var lerr error
	if x.cfg.LocalName != nil {
		local, lerr = x.cfg.LocalName(info.Initiator)
	}
	x.out.established(info, local, x.cfg.Verbose)
	contexts.Log(x.session, info, local, lerr)
}

// fail prints and notes the status of a GSS-API call that failed.
func (x *exchange) fail(doing string, err error) error {
	x.out.status(doing, err)
	contexts.NoteStatus(x.session, err)
	return fmt.Errorf("%s: %w", doing, err)
}

// A carrier carries context tokens over frames, gives back first the token that
// was read to tell the version, and prints tokens if it has a printer.
type carrier struct {
	conn  *token.Conn
	first []byte
	out   *printer
}

func (c *carrier) ReadToken() ([]byte, error) {
	tok, err := c.first, error(nil)
	if c.first = nil; tok == nil {
		tok, err = c.conn.ReadToken()
	}
	if err == nil {
		c.out.contextToken(tok)
	}
	return tok, err
}

func (c *carrier) WriteToken(tok []byte) error {
	c.out.contextReply(tok)
	return c.conn.WriteToken(tok)
}
