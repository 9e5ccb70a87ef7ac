package pushwire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// magic begins the first message of a client.
const magic = "countersign push"

// The kinds of messages.
const (
	kindHello     = 0x01
	kindSubscribe = 0x02
	kindLeave     = 0x03
	kindPublish   = 0x04
	kindSend      = 0x05
	kindSign      = 0x06
	kindWait      = 0x07

	kindPing = 0x40
	kindPong = 0x41
	kindBye  = 0x42

	kindWelcome     = 0x81
	kindResult      = 0x82
	kindPublication = 0x83
	kindDirect      = 0x84
	kindPresence    = 0x85
	kindJoined      = 0x86
	kindRemoved     = 0x87
	kindGroups      = 0x88
	kindLost        = 0x89

	kindForward = 0xc1
	kindBeacon  = 0xc2
)

// A Message is one of the types of this package that have Append take them.
type Message interface {
	kind() byte
	build(*cryptobyte.Builder) error
}

// An Origin is a server, from its start to its end. It is chosen at random.
type Origin [8]byte

// String gives the origin in hexadecimal.
func (o Origin) String() string { return hex.EncodeToString(o[:]) }

// A Stamp is the sequence number of a publication in one of its groups, counted
// by its origin from 1. It is written group(4) | seq(8).
type Stamp struct {
	Group uint32
	Seq   uint64
}

// A Position says how far an origin has come in a group: Seq is the number of its
// last publication there. AtLeast says that it may be further: the server heard so,
// while nobody there was in the group. It is written
// origin(8) | group(4) | seq(8) | atleast(1).
type Position struct {
	Origin  Origin
	Group   uint32
	Seq     uint64
	AtLeast bool
}

// A Gap is the publications of an origin in a group that come after one number, up
// to another; none if they are the same. Open says that there may be more: the
// origin fell silent. It is written
// origin(8) | group(4) | after(8) | seq(8) | open(1).
type Gap struct {
	Origin Origin
	Group  uint32
	After  uint64
	Seq    uint64
	Open   bool
}

// A Right is what a client may do with a group.
type Right byte

// Rights are joined by "|".
const (
	Read    Right = 1 << iota // subscribe to it
	Publish                   // publish to it
)

// A Group is a group as the client sees it. It is written
// number(4) | rights(1) | name text.
type Group struct {
	Number uint32
	Rights Right
	Name   string
}

// A Status says how a request went.
type Status byte

// The status codes.
const (
	Done      Status = iota
	Forbidden        // the policy has it so
	NoGroup          // there is no such group
	Absent           // there is no such user, as far as the servers know
	TooOften         // above the rate that the principal has
	TooLong          // the data is longer than the server takes
	TooMany          // more groups than a client may be in
	Declined         // the server's program refused it; the text is its own
	Unreached        // other servers could not be reached; who is here got it
	statusEnd        // none
)

// String says it in a few words.
func (s Status) String() string {
	switch s {
	case Done:
		return "done"
	case Forbidden:
		return "not allowed"
	case NoGroup:
		return "no such group"
	case Absent:
		return "nobody of that name is connected"
	case TooOften:
		return "too many requests"
	case TooLong:
		return "message too long"
	case TooMany:
		return "too many groups"
	case Declined:
		return "refused by the server's program"
	case Unreached:
		return "other servers could not be reached"
	default:
		return fmt.Sprintf("status %d", byte(s))
	}
}

// A ByeCode says why a side ends the connection.
type ByeCode byte

// The codes of Bye.
const (
	Finished  ByeCode = iota // all was said
	Stopping                 // the server stops: try another, or later
	TooSlow                  // the client took what it was sent too slowly
	Refused                  // the server's program did not let the client in
	Violation                // the peer broke the protocol
	Failed                   // something failed on this side
	byeEnd                   // none
)

// Messages of clients. ID is chosen by the client, and comes back in the
// [Result]; the server gives it no meaning.
type (
	// Hello: magic(16) | version(1) | flags(1). Version is the highest that
	// the client speaks; flag 1 asks for [Presence].
	Hello struct {
		Version  byte
		Presence bool
	}

	// SubscribeRequest: id(8) | groups list of number(4).
	SubscribeRequest struct {
		ID     uint64
		Groups []uint32
	}

	// LeaveRequest: as SubscribeRequest.
	LeaveRequest struct {
		ID     uint64
		Groups []uint32
	}

	// PublishRequest: id(8) | groups list of number(4) | data, to the end of the message.
	PublishRequest struct {
		ID     uint64
		Groups []uint32
		Data   []byte
	}

	// SendRequest: id(8) | to name | data, to the end. To is a principal if it
	// has an @ that is not escaped, a local name otherwise.
	SendRequest struct {
		ID   uint64
		To   string
		Data []byte
	}

	// SignRequest: id(8) | data, to the end. The result has the MIC of the data.
	SignRequest struct {
		ID   uint64
		Data []byte
	}

	// WaitRequest: id(8) | milliseconds(4). It is done after so long, and with it what
	// was asked for after it. [MaxWait] is the longest.
	WaitRequest struct {
		ID  uint64
		For time.Duration
	}
)

// MaxWait is the longest time a [WaitRequest] can name.
const MaxWait = time.Minute

// Messages of both sides.
type (
	// Ping: number(8), of the sender's choice. It is answered by Pong with the same.
	Ping struct{ Number uint64 }

	// Pong: number(8).
	Pong struct{ Number uint64 }

	// Bye: code(1) | why text. It is the last message of a side.
	Bye struct {
		Code ByeCode
		Why  string
	}
)

// Messages of servers.
type (
	// Welcome: version(1) | origin(8) | server name | you name | local name |
	// maxdata(4) | idle milliseconds(4) | groups list. Version is the one that
	// both speak from here on. A client that says nothing for the idle time is
	// taken for dead. Groups are those that the client has any right to.
	Welcome struct {
		Version byte
		Origin  Origin
		Server  string // the principal that serves
		You     string // the client's principal, as the server knows it
		Local   string // the local user it stands for; empty: none
		MaxData uint32
		Idle    time.Duration
		Groups  []Group
	}

	// Result: id(8) | status(1) | receivers(4) | why text | positions list | mic, to the end.
	// Positions are those of the groups subscribed to; MIC that of the data signed.
	Result struct {
		ID        uint64
		Status    Status
		Receivers uint32 // sessions that the message was queued for, as far as this server knows
		Why       string // empty: the status says all
		Positions []Position
		MIC       []byte
	}

	// Publication: origin(8) | time(8) | from name | stamps list | data, to the
	// end. Time is in nanoseconds since 1970.
	Publication struct {
		Origin Origin
		Time   time.Time
		From   string
		Stamps []Stamp
		Data   []byte
	}

	// Direct: time(8) | from name | data, to the end. It was sent to the user.
	Direct struct {
		Time time.Time
		From string
		Data []byte
	}

	// Presence: entered(1) | who name | groups list. Somebody subscribed to
	// groups that the client is in, or left them. It is no message: one that
	// finds no room is not counted as lost.
	Presence struct {
		Entered bool
		Who     string
		Groups  []uint32
	}

	// Joined: groups list | positions list. The server subscribed the client.
	Joined struct {
		Groups    []uint32
		Positions []Position
	}

	// Removed: groups list. The client is no longer in these groups, and did not ask for it.
	Removed struct{ Groups []uint32 }

	// GroupsChanged: groups list. They have changed; these are all that the client has any right to.
	GroupsChanged struct{ Groups []Group }

	// Lost: count(4) | directs(4) | gaps list. So many messages were not queued for
	// the client, as its queue was full (count, of which directs were sent to it
	// alone), or did not reach this server (they are in the gaps alone). What is
	// published after the gaps follows. A client that knows less of the origin than
	// where the gap begins, from another server, missed what is between, too; one to
	// which nobody said how far it is counts from there. So a gap
	// of none says where the counting begins.
	Lost struct {
		Count   uint32
		Directs uint32
		Gaps    []Gap
	}
)

// Messages between servers, beside [Publication] and [Presence].
type (
	// Forward: local(1) | to name | time(8) | from name | data, to the end. It
	// is for a user of other servers; To is a local name if local is 1.
	Forward struct {
		Local bool
		To    string
		Direct
	}

	// Beacon: origin(8) | ends(1) | stamps list. The origin has come so far, and if it
	// ends, no further. One without stamps that does not end has just begun.
	Beacon struct {
		Origin Origin
		Ends   bool
		Stamps []Stamp
	}
)

var errTooLong = errors.New("push: message with more than its encoding takes")

// Append appends the encoding of messages to dst. It fails for what no encoding
// has room for, such as a name longer than [MaxName].
func Append(dst []byte, msgs ...Message) ([]byte, error) {
	b := cryptobyte.NewBuilder(dst)
	for _, m := range msgs {
		b.AddUint8(m.kind())
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			if err := m.build(b); err != nil {
				b.SetError(err)
			}
		})
	}
	return b.Bytes()
}

func (Hello) kind() byte            { return kindHello }
func (SubscribeRequest) kind() byte { return kindSubscribe }
func (LeaveRequest) kind() byte     { return kindLeave }
func (PublishRequest) kind() byte   { return kindPublish }
func (SendRequest) kind() byte      { return kindSend }
func (SignRequest) kind() byte      { return kindSign }
func (WaitRequest) kind() byte      { return kindWait }
func (Ping) kind() byte             { return kindPing }
func (Pong) kind() byte             { return kindPong }
func (Bye) kind() byte              { return kindBye }
func (Welcome) kind() byte          { return kindWelcome }
func (Result) kind() byte           { return kindResult }
func (Publication) kind() byte      { return kindPublication }
func (Direct) kind() byte           { return kindDirect }
func (Presence) kind() byte         { return kindPresence }
func (Joined) kind() byte           { return kindJoined }
func (Removed) kind() byte          { return kindRemoved }
func (GroupsChanged) kind() byte    { return kindGroups }
func (Lost) kind() byte             { return kindLost }
func (Forward) kind() byte          { return kindForward }
func (Beacon) kind() byte           { return kindBeacon }
