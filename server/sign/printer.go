package sign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
)

// A printer prints what MIT's gss-server prints, blanks at the ends of lines
// included. Each method prints one event whole. A nil printer prints nothing.
type printer struct {
	mu  sync.Mutex
	w   bytes.Buffer // the event being printed
	out io.Writer
}

func newPrinter(w io.Writer) *printer {
	if w == nil {
		return nil
	}
	return &printer{out: w}
}

// begin keeps the output for one event; the function it returns lets it go.
func (p *printer) begin() (end func()) {
	p.mu.Lock()
	return func() {
		_, _ = p.out.Write(p.w.Bytes()) // whoever closed our output does not want it
		p.w.Reset()
		if p.w.Cap() > maxKept {
			p.w = bytes.Buffer{}
		}
		p.mu.Unlock()
	}
}

func (p *printer) printf(format string, args ...any) {
	if p == nil {
		return
	}
	defer p.begin()()
	fmt.Fprintf(&p.w, format, args...)
}

func (p *printer) unauthenticated() {
	// Twice, as MIT's does: its log and its standard output are the same.
	p.printf("Accepted unauthenticated connection.\nAccepted unauthenticated connection.\n")
}

func (p *printer) unexpectedGreeting(f token.Flags) {
	p.printf("Expected NOOP token, got %d token instead\n", byte(f))
}

func (p *printer) unauthenticatedRequest() {
	p.printf("Unauthenticated client requested authenticated services!\n")
}

func (p *printer) notEncrypted() { p.printf("Warning!  Message not encrypted.\n") }

func (p *printer) moved(size int, exporting, importing time.Duration) {
	p.printf("Exported context: %d bytes, %7.4f seconds\nImporting context: %7.4f seconds\n", size, exporting.Seconds(), importing.Seconds())
}

func (p *printer) noop() { p.printf("NOOP token\n") }

func (p *printer) contextToken(tok []byte) {
	if p == nil {
		return
	}
	defer p.begin()()
	fmt.Fprintf(&p.w, "Received token (size=%d): \n", len(tok))
	p.dump(tok)
}

func (p *printer) contextReply(tok []byte) {
	if p == nil {
		return
	}
	defer p.begin()()
	fmt.Fprintf(&p.w, "Sending accept_sec_context token (size=%d):\n", len(tok))
	p.dump(tok)
}

func (p *printer) messageToken(f token.Flags, tok []byte) {
	if p == nil {
		return
	}
	defer p.begin()()
	fmt.Fprintf(&p.w, "Message token (flags=%d):\n", byte(f))
	p.dump(tok)
}

// shownFlags are the flags that MIT's gss-server shows, and what follows their
// names.
var shownFlags = []struct {
	flag gss.Flags
	tail string
}{
	{gss.Delegation, ""},
	{gss.Mutual, ""},
	{gss.ReplayDetection, ""},
	{gss.Sequencing, ""},
	{gss.Confidentiality, " "},
	{gss.Integrity, " "},
}

// established prints whose context it is. Without a local name nothing is said of
// one, as MIT's says nothing: gss_localname is then "unavailable" to it, whether no
// rule maps the client or a rule is broken.
func (p *printer) established(info gss.Info, local string, verbose bool) {
	if p == nil {
		return
	}
	defer p.begin()()
	if verbose {
		fmt.Fprintln(&p.w)
	}
	for _, f := range shownFlags {
		if info.Flags&f.flag != 0 {
			fmt.Fprintf(&p.w, "context flag: %s%s\n", f.flag, f.tail)
		}
	}
	if verbose {
		fmt.Fprintf(&p.w, "Accepted connection using mechanism OID %s.\n", info.Mechanism.Braces())
		p.attributes(info.Attributes)
	}
	if local != "" {
		fmt.Fprintf(&p.w, "localname: %s\n", visible(local))
	}
	fmt.Fprintf(&p.w, "Accepted connection: \"%s\"\n", visible(info.Initiator.String()))
}

// attributes prints what is known of the client beside the name.
func (p *printer) attributes(of gss.Attributes) {
	if of == nil {
		return
	}
	word := func(yes bool, word string) string {
		if yes {
			return word
		}
		return ""
	}
	for _, a := range of.All() {
		fmt.Fprintf(&p.w, "Attribute %s %s %s\n\n%s\n", visible(a.Name), word(a.Authenticated, "Authenticated"), word(a.Complete, "Complete"), visible(a.Display))
		for i, b := range a.Value {
			if i%32 == 0 {
				fmt.Fprintln(&p.w)
			}
			fmt.Fprintf(&p.w, "%02x", b)
		}
		fmt.Fprint(&p.w, "\n\n")
	}
}

// message prints a message: text as it is, anything else as a hex dump.
func (p *printer) message(msg []byte) {
	if p == nil {
		return
	}
	text := isText(msg)
	defer p.begin()()
	p.w.WriteString("Received message: ")
	if text {
		p.w.WriteByte('"')
		p.w.Write(msg)
		p.w.WriteString("\"\n")
		return
	}
	p.w.WriteByte('\n')
	p.dump(msg)
}

// status prints the major and the minor status of a call that failed.
func (p *printer) status(doing string, err error) {
	if p == nil {
		return
	}
	defer p.begin()()
	p.statusLines(doing, err)
}

func (p *printer) statusLines(doing string, err error) {
	major, minor := gss.ErrFailure, err
	if status, ok := errors.AsType[*gss.Error](err); ok {
		major, minor = status.Major, status.Err
	}
	why := "Unknown error" // what a minor status of 0 is called
	if minor != nil {
		why = visible(clip(minor.Error()))
	}
	fmt.Fprintf(&p.w, "GSS-API error %s: %s\n", doing, major.Error())
	fmt.Fprintf(&p.w, "GSS-API error %s: %s\n", doing, why)
}

// dump prints 16 bytes a line. Like MIT's it ends with a line end of its own,
// also after a full line.
func (p *printer) dump(b []byte) {
	const digits = "0123456789abcdef"
	var line [3*16 + 1]byte
	p.w.Grow((len(b)/16+1)*len(line) + 1)
	for len(b) > 0 {
		n := min(16, len(b))
		out := line[:0]
		for _, c := range b[:n] {
			out = append(out, digits[c>>4], digits[c&15], ' ')
		}
		if b = b[n:]; n == 16 {
			out = append(out, '\n')
		}
		p.w.Write(out)
	}
	p.w.WriteByte('\n')
}

// isText reports whether a message is shown as text. MIT's program looks at the
// first two bytes; the rest must hold nothing that steers a terminal, either.
func isText(msg []byte) bool {
	if len(msg) == 0 {
		return false
	}
	for _, c := range msg[:min(2, len(msg))] {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	for i := 0; i < len(msg); {
		if c := msg[i]; c >= ' ' && c <= '~' || c == '\n' || c == '\t' {
			i++
			continue
		}
		r, size := utf8.DecodeRune(msg[i:])
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			return false
		}
		i += size
	}
	return true
}

// maxWhy is the longest text of an error that is printed, in bytes: it can hold
// what a peer chose.
const maxWhy = 1 << 10

func clip(why string) string {
	if len(why) <= maxWhy {
		return why
	}
	return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(why[:maxWhy], ""), len(why))
}

// visible makes text fit for one line of a terminal: what does not print is
// shown as an escape.
func visible(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 && utf8.ValidString(s) {
		return s
	}
	quoted := fmt.Sprintf("%q", s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
