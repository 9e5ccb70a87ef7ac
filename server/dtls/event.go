package dtls

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"sync"

	"github.com/sirupsen/logrus"
)

// A Kind tells apart what happens.
type Kind int

// The kinds of events.
const (
	Error    Kind = iota // a peer was lost: its handshake or its session failed
	Warning              // something odd that harms nobody
	Info                 // steps of a handshake, identity, cipher, the end of a session
	Datagram             // a message came
)

func (k Kind) String() string {
	switch k {
	case Error:
		return "error"
	case Warning:
		return "warning"
	case Info:
		return "info"
	case Datagram:
		return "datagram"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// An Event is what a program may want to know or to show.
type Event struct {
	Kind Kind
	Peer netip.AddrPort // zero: nobody in particular
	Text string         // what happened; of a Datagram the message

	Ciphertext []byte // of a Datagram: the record as it came, with its header
}

// tell tells the program, if it wants to know, and nobody else.
func (cfg *Config) tell(e Event) {
	if cfg.Event != nil {
		cfg.Event(e)
	}
}

// note tells the program and the log.
func (cfg *Config) note(e Event) {
	cfg.tell(e)
	if cfg.Log == nil {
		return
	}
	level := [...]logrus.Level{Error: logrus.WarnLevel, Warning: logrus.WarnLevel, Info: logrus.DebugLevel, Datagram: logrus.DebugLevel}[e.Kind]
	if !cfg.Log.IsLevelEnabled(level) {
		return
	}
	fields := logrus.Fields{}
	if e.Peer.IsValid() {
		fields["peer"] = e.Peer.String()
	}
	what := e.Text
	if e.Kind == Datagram {
		fields["text"], fields["ciphertext"] = e.Text, hex.EncodeToString(e.Ciphertext)
		what = "datagram received"
	}
	cfg.Log.WithFields(fields).Log(level, what)
}

// wantsDatagrams says whether somebody looks at messages and their ciphertext.
func (cfg *Config) wantsDatagrams() bool {
	return cfg.Event != nil || cfg.Log != nil && cfg.Log.IsLevelEnabled(logrus.DebugLevel)
}

// NewPrinter gives a function for [Config] that prints events on w, a line
// each and up to three for a datagram, and may be called by many goroutines. On a
// terminal the kinds have colours. What a peer sent is printed with its control
// characters escaped.
func NewPrinter(w io.Writer) func(Event) {
	return newPrinter(w, isTerminal(w))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Stat() (os.FileInfo, error) })
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}

func newPrinter(w io.Writer, colour bool) func(Event) {
	var mu sync.Mutex
	begin, end := [...]string{Error: "\x1b[31m", Warning: "\x1b[33m", Info: "\x1b[32m", Datagram: "\x1b[36m"}, "\x1b[0m"
	if !colour {
		begin, end = [4]string{}, ""
	}
	return func(e Event) {
		line := e.Text
		if e.Kind == Datagram {
			line = "\n\ttext: " + strconv.Quote(e.Text)
			if len(e.Ciphertext) > 0 {
				line = fmt.Sprintf("\n\tciphertext: %x%s", e.Ciphertext, line)
			}
		}
		if e.Peer.IsValid() {
			line = fmt.Sprintf("%v: %s", e.Peer, line)
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%s%v: %s%s\n", begin[e.Kind], e.Kind, line, end)
	}
}
