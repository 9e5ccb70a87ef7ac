package pushwire

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// errMalformed is made a full error by Next, which knows the kind.
var errMalformed = errors.New("is not as its kind has it")

// Next reads the first of encoded messages and gives the rest. Byte slices in
// the message are parts of b.
func Next(b []byte) (m Message, rest []byte, err error) {
	s := cryptobyte.String(b)
	var kind byte
	var body cryptobyte.String
	if !s.ReadUint8(&kind) || !s.ReadUint24LengthPrefixed(&body) {
		return nil, nil, errors.New("push: truncated message")
	}
	p := parser{String: body}
	m = p.message(kind)
	if m == nil {
		return nil, nil, fmt.Errorf("push: unknown kind of message %#x", kind)
	}
	if p.bad || !p.Empty() {
		return nil, nil, fmt.Errorf("push: message of kind %#x %w", kind, errMalformed)
	}
	return m, s, nil
}

// A parser reads a body. What it read is of no use once bad is set.
type parser struct {
	cryptobyte.String
	bad bool
}

// message reads the body of a kind, nil if there is no such kind.
func (p *parser) message(kind byte) Message {
	switch kind {
	case kindHello:
		if string(p.bytes(len(magic))) != magic {
			p.bad = true
		}
		return Hello{Version: p.uint8(), Presence: p.flag()}
	case kindSubscribe:
		return SubscribeRequest{ID: p.uint64(), Groups: p.groups()}
	case kindLeave:
		return LeaveRequest{ID: p.uint64(), Groups: p.groups()}
	case kindPublish:
		return PublishRequest{ID: p.uint64(), Groups: p.groups(), Data: p.data()}
	case kindSend:
		return SendRequest{ID: p.uint64(), To: p.name(), Data: p.data()}
	case kindSign:
		return SignRequest{ID: p.uint64(), Data: p.data()}
	case kindWait:
		m := WaitRequest{ID: p.uint64(), For: p.millis()}
		p.check(m.For <= MaxWait)
		return m
	case kindPing:
		return Ping{p.uint64()}
	case kindPong:
		return Pong{p.uint64()}
	case kindBye:
		m := Bye{Code: ByeCode(p.uint8()), Why: p.text()}
		p.check(m.Code < byeEnd)
		return m
	default:
		return p.serverMessage(kind)
	}
}

func (p *parser) serverMessage(kind byte) Message {
	switch kind {
	case kindWelcome:
		return Welcome{
			Version: p.uint8(), Origin: p.origin(), Server: p.name(), You: p.name(), Local: p.name(),
			MaxData: p.uint32(), Idle: p.millis(), Groups: p.groupList(),
		}
	case kindResult:
		m := Result{ID: p.uint64(), Status: Status(p.uint8()), Receivers: p.uint32(), Why: p.text(), Positions: p.positions(), MIC: p.data()}
		p.check(m.Status < statusEnd)
		return m
	case kindPublication:
		m := Publication{Origin: p.origin(), Time: p.time(), From: p.name(), Stamps: p.stamps(), Data: p.data()}
		p.check(len(m.Stamps) > 0 && len(m.Stamps) <= MaxGroups)
		return m
	case kindDirect:
		return p.direct()
	case kindPresence:
		return Presence{Entered: p.flag(), Who: p.name(), Groups: p.groups()}
	case kindJoined:
		return Joined{Groups: p.groups(), Positions: p.positions()}
	case kindRemoved:
		return Removed{p.groups()}
	case kindGroups:
		return GroupsChanged{p.groupList()}
	case kindLost:
		return Lost{Count: p.uint32(), Directs: p.uint32(), Gaps: p.gaps()}
	case kindForward:
		return Forward{Local: p.flag(), To: p.name(), Direct: p.direct()}
	case kindBeacon:
		return Beacon{Origin: p.origin(), Ends: p.flag(), Stamps: p.stamps()}
	default:
		return nil
	}
}

func (p *parser) direct() Direct { return Direct{Time: p.time(), From: p.name(), Data: p.data()} }

func (p *parser) check(ok bool) { p.bad = p.bad || !ok }

func (p *parser) uint8() (v uint8) {
	p.check(p.ReadUint8(&v))
	return v
}

func (p *parser) uint32() (v uint32) {
	p.check(p.ReadUint32(&v))
	return v
}

func (p *parser) uint64() (v uint64) {
	p.check(p.ReadUint64(&v))
	return v
}

func (p *parser) flag() bool {
	v := p.uint8()
	p.check(v <= 1)
	return v == 1
}

func (p *parser) bytes(n int) (v []byte) {
	p.check(p.ReadBytes(&v, n))
	return v
}

func (p *parser) origin() (o Origin) {
	p.check(p.CopyBytes(o[:]))
	return o
}

func (p *parser) time() time.Time { return time.Unix(0, int64(p.uint64())) }

func (p *parser) millis() time.Duration { return time.Duration(p.uint32()) * time.Millisecond }

// prefixed is the content of a list or a text.
func (p *parser) prefixed() (v cryptobyte.String) {
	p.check(p.ReadUint16LengthPrefixed(&v))
	return v
}

// list reads the elements of a list.
func (p *parser) list() *parser { return &parser{String: p.prefixed()} }

func (p *parser) name() string {
	v := p.prefixed()
	p.check(len(v) <= MaxName)
	return string(v)
}

func (p *parser) text() string {
	v := p.prefixed()
	p.check(len(v) <= MaxText)
	return string(v)
}

// data is what is left of the body.
func (p *parser) data() []byte {
	p.check(len(p.String) <= MaxData)
	return p.bytes(len(p.String))
}

func (p *parser) groups() []uint32 {
	const size = 4
	v := p.prefixed()
	if p.check(len(v) > 0 && len(v) <= MaxGroups*size); p.bad {
		return nil
	}
	groups := make([]uint32, 0, len(v)/size)
	for !p.bad && !v.Empty() {
		var g uint32
		p.check(v.ReadUint32(&g))
		groups = append(groups, g)
	}
	return groups
}

func (p *parser) stamps() []Stamp {
	v := p.prefixed()
	stamps := make([]Stamp, 0, len(v)/stampSize)
	for !p.bad && !v.Empty() {
		var s Stamp
		p.check(v.ReadUint32(&s.Group) && v.ReadUint64(&s.Seq))
		stamps = append(stamps, s)
	}
	return stamps
}

func (p *parser) positions() []Position {
	list := p.list()
	if list.Empty() {
		return nil
	}
	positions := make([]Position, 0, len(list.String)/positionSize)
	for !list.bad && !list.Empty() {
		positions = append(positions, Position{Origin: list.origin(), Group: list.uint32(), Seq: list.uint64(), AtLeast: list.flag()})
	}
	p.check(!list.bad)
	return positions
}

func (p *parser) gaps() []Gap {
	list := p.list()
	if list.Empty() {
		return nil
	}
	gaps := make([]Gap, 0, len(list.String)/gapSize)
	for !list.bad && !list.Empty() {
		g := Gap{Origin: list.origin(), Group: list.uint32(), After: list.uint64(), Seq: list.uint64(), Open: list.flag()}
		list.check(g.After <= g.Seq)
		gaps = append(gaps, g)
	}
	p.check(!list.bad)
	return gaps
}

func (p *parser) groupList() []Group {
	v := p.prefixed()
	var groups []Group
	for !p.bad && !v.Empty() {
		var g Group
		var rights byte
		var name cryptobyte.String
		p.check(v.ReadUint32(&g.Number) && v.ReadUint8(&rights) && v.ReadUint16LengthPrefixed(&name) && len(name) <= MaxText)
		g.Rights, g.Name = Right(rights), string(name)
		groups = append(groups, g)
	}
	return groups
}
