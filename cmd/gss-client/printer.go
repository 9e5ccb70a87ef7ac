package main

import (
	"bufio"
	"fmt"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/gss"
)

// A printer prints what MIT's gss-client prints, word for word, for the scripts
// that read it. A quiet one prints nothing.
type printer struct {
	out     *bufio.Writer
	quiet   bool
	midLine bool
}

// trace prints how the context is being established. What was printed goes out
// before the server is waited for.
func (p *printer) trace() *client.Trace {
	if p.quiet {
		return nil
	}
	return &client.Trace{
		TokenSending: func(size int) {
			fmt.Fprintf(p.out, "Sending init_sec_context token (size=%d)...", size)
			p.midLine = true
		},
		TokenAwaited: func() {
			fmt.Fprint(p.out, "continue needed...")
			p.out.Flush()
		},
		TokenReceived: func(int) { p.endLine() },
	}
}

// endLine ends the line that an establishment has begun.
func (p *printer) endLine() {
	if p.midLine {
		fmt.Fprintln(p.out)
		p.midLine = false
	}
}

// shownFlags are those that MIT's programs show, two with a blank after them.
var shownFlags = []struct {
	flag gss.Flags
	text string
}{
	{gss.Delegation, "GSS_C_DELEG_FLAG"},
	{gss.Mutual, "GSS_C_MUTUAL_FLAG"},
	{gss.ReplayDetection, "GSS_C_REPLAY_FLAG"},
	{gss.Sequencing, "GSS_C_SEQUENCE_FLAG"},
	{gss.Confidentiality, "GSS_C_CONF_FLAG "},
	{gss.Integrity, "GSS_C_INTEG_FLAG "},
}

// nameTypes are those that names of the Kerberos mechanism can be imported by.
var nameTypes = []gss.OID{gss.NTUserName, gss.NTHostbasedService, gss.NTExportName, gss.NTKrb5Principal}

func (p *printer) established(info gss.Info) {
	if p.quiet {
		return
	}
	p.midLine = false
	fmt.Fprintln(p.out)
	for _, f := range shownFlags {
		if info.Flags&f.flag != 0 {
			fmt.Fprintf(p.out, "context flag: %s\n", f.text)
		}
	}
	side, state := "remotely initiated", "closed"
	if info.Local {
		side = "locally initiated"
	}
	if info.Established {
		state = "open"
	}
	flags := info.Flags
	if flags&gss.Mutual != 0 {
		flags &^= gss.ProtReady // as MIT's library has it
	}
	source, nameType := info.Initiator.Display()
	fmt.Fprintf(p.out, "\"%s\" to \"%s\", lifetime %d, flags %x, %s, %s\n", source, info.Acceptor, lifetime(info.Expires), uint32(flags), side, state)
	fmt.Fprintf(p.out, "Name type of source name is %s.\n", nameType.Braces())
	fmt.Fprintf(p.out, "Mechanism %s supports %d names\n", info.Mechanism.Braces(), len(nameTypes))
	for i, oid := range nameTypes {
		fmt.Fprintf(p.out, "%3d: %s\n", i, oid.Braces())
	}
}

// lifetime is what remains, in seconds; 2^32-1 stands for no end (RFC 2744,
// GSS_C_INDEFINITE).
func lifetime(end time.Time) uint32 {
	if end.IsZero() {
		return 1<<32 - 1
	}
	return uint32(max(0, time.Until(end)/time.Second))
}

func (p *printer) answered(verified bool) {
	switch {
	case p.quiet:
	case verified:
		fmt.Fprintln(p.out, "Signature verified.")
	default:
		fmt.Fprintln(p.out, "Response received.")
	}
}

func (p *printer) flush() error {
	if err := p.out.Flush(); err != nil {
		return &failure{doing: "writing standard output", err: err}
	}
	return nil
}
