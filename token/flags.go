package token

import (
	"fmt"
	"strings"
)

// Flags says what a version 2 frame holds and what its sender wants in return. All eight bits have a meaning; a frame has
// at least one of them.
type Flags byte

// The flags of version 2. After the context stands, a message is Data, with Wrapped, Encrypted and SendMIC as they apply;
// it is answered by a MIC frame if it had SendMIC, and by an empty NOOP frame otherwise.
const (
	NOOP        Flags = 1 << iota // no content; ends a session, or answers a message for which no MIC was asked
	Context                       // a context token
	Data                          // a message
	MIC                           // the MIC of a message received
	ContextNext                   // context tokens follow; without it a session is unauthenticated
	Wrapped                       // the message is wrapped
	Encrypted                     // the message is wrapped with confidentiality
	SendMIC                       // the peer is to answer with a MIC of the message
)

// Greeting is what the first frame of an initiator has in version 2, which is empty: context tokens follow. With NOOP alone
// a session is unauthenticated.
const Greeting = NOOP | ContextNext

var flagNames = [...]string{"NOOP", "CONTEXT", "DATA", "MIC", "CONTEXT_NEXT", "WRAPPED", "ENCRYPTED", "SEND_MIC"}

// String gives the names of the flags, lowest bit first, joined by "|", as in "DATA|WRAPPED|ENCRYPTED|SEND_MIC"; no flags
// are "0".
func (f Flags) String() string {
	if f == 0 {
		return "0"
	}
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// Version is one of the two framings.
type Version int

const (
	Detect Version = iota // the version of the first byte that the peer sends; 2 if the first frame is written
	V1                    // length, data
	V2                    // flags, length, data
)

// String gives "1", "2", or "undetected" for [Detect].
func (v Version) String() string {
	switch v {
	case Detect:
		return "undetected"
	case V1:
		return "1"
	case V2:
		return "2"
	}
	return fmt.Sprintf("Version(%d)", int(v))
}

const (
	lengthSize = 4              // bytes of the length, in both versions
	maxHeader  = 1 + lengthSize // bytes of the longer header
)

// headerSize is the number of bytes before the data.
func (v Version) headerSize() int {
	if v == V1 {
		return lengthSize
	}
	return maxHeader
}
