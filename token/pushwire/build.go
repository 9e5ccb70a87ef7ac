package pushwire

import (
	"math"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

func (m Hello) build(b *cryptobyte.Builder) error {
	b.AddBytes([]byte(magic))
	b.AddUint8(m.Version)
	b.AddUint8(flag(m.Presence))
	return nil
}

func (m SubscribeRequest) build(b *cryptobyte.Builder) error {
	b.AddUint64(m.ID)
	return addGroups(b, m.Groups)
}

func (m LeaveRequest) build(b *cryptobyte.Builder) error { return SubscribeRequest(m).build(b) }

func (m PublishRequest) build(b *cryptobyte.Builder) error {
	b.AddUint64(m.ID)
	if err := addGroups(b, m.Groups); err != nil {
		return err
	}
	return addData(b, m.Data)
}

func (m SendRequest) build(b *cryptobyte.Builder) error {
	b.AddUint64(m.ID)
	if err := addName(b, m.To); err != nil {
		return err
	}
	return addData(b, m.Data)
}

func (m SignRequest) build(b *cryptobyte.Builder) error {
	b.AddUint64(m.ID)
	return addData(b, m.Data)
}

func (m WaitRequest) build(b *cryptobyte.Builder) error {
	b.AddUint64(m.ID)
	if m.For < 0 || m.For > MaxWait {
		return errTooLong
	}
	return addMillis(b, m.For)
}

func (m Ping) build(b *cryptobyte.Builder) error {
	b.AddUint64(m.Number)
	return nil
}

func (m Pong) build(b *cryptobyte.Builder) error { return Ping(m).build(b) }

func (m Bye) build(b *cryptobyte.Builder) error {
	b.AddUint8(byte(m.Code))
	addText(b, m.Why)
	return nil
}

func (m Welcome) build(b *cryptobyte.Builder) error {
	b.AddUint8(m.Version)
	b.AddBytes(m.Origin[:])
	for _, name := range []string{m.Server, m.You, m.Local} {
		if err := addName(b, name); err != nil {
			return err
		}
	}
	b.AddUint32(m.MaxData)
	if err := addMillis(b, m.Idle); err != nil {
		return err
	}
	addGroupList(b, m.Groups)
	return nil
}

func (m Result) build(b *cryptobyte.Builder) error {
	b.AddUint64(m.ID)
	b.AddUint8(byte(m.Status))
	b.AddUint32(m.Receivers)
	addText(b, m.Why)
	addPositions(b, m.Positions)
	b.AddBytes(m.MIC)
	return nil
}

func (m Publication) build(b *cryptobyte.Builder) error {
	b.AddBytes(m.Origin[:])
	addTime(b, m.Time)
	if err := addName(b, m.From); err != nil {
		return err
	}
	if len(m.Stamps) > MaxGroups {
		return errTooLong
	}
	addStamps(b, m.Stamps)
	return addData(b, m.Data)
}

func (m Direct) build(b *cryptobyte.Builder) error {
	addTime(b, m.Time)
	if err := addName(b, m.From); err != nil {
		return err
	}
	return addData(b, m.Data)
}

func (m Presence) build(b *cryptobyte.Builder) error {
	b.AddUint8(flag(m.Entered))
	if err := addName(b, m.Who); err != nil {
		return err
	}
	return addGroups(b, m.Groups)
}

func (m Joined) build(b *cryptobyte.Builder) error {
	if err := addGroups(b, m.Groups); err != nil {
		return err
	}
	addPositions(b, m.Positions)
	return nil
}

func (m Removed) build(b *cryptobyte.Builder) error { return addGroups(b, m.Groups) }

func (m GroupsChanged) build(b *cryptobyte.Builder) error {
	addGroupList(b, m.Groups)
	return nil
}

func (m Lost) build(b *cryptobyte.Builder) error {
	b.AddUint32(m.Count)
	b.AddUint32(m.Directs)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, g := range m.Gaps {
			b.AddBytes(g.Origin[:])
			b.AddUint32(g.Group)
			b.AddUint64(g.After)
			b.AddUint64(g.Seq)
			b.AddUint8(flag(g.Open))
		}
	})
	return nil
}

func (m Forward) build(b *cryptobyte.Builder) error {
	b.AddUint8(flag(m.Local))
	if err := addName(b, m.To); err != nil {
		return err
	}
	return m.Direct.build(b)
}

func (m Beacon) build(b *cryptobyte.Builder) error {
	b.AddBytes(m.Origin[:])
	b.AddUint8(flag(m.Ends))
	addStamps(b, m.Stamps)
	return nil
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func addName(b *cryptobyte.Builder, name string) error {
	if len(name) > MaxName {
		return errTooLong
	}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
	return nil
}

// addText adds text for people, of one that is too long the beginning.
func addText(b *cryptobyte.Builder, text string) {
	text = text[:min(len(text), MaxText)]
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
}

func addData(b *cryptobyte.Builder, data []byte) error {
	if len(data) > MaxData {
		return errTooLong
	}
	b.AddBytes(data)
	return nil
}

func addTime(b *cryptobyte.Builder, t time.Time) { b.AddUint64(uint64(t.UnixNano())) }

func addMillis(b *cryptobyte.Builder, d time.Duration) error {
	ms := d.Milliseconds()
	if ms < 0 || ms > math.MaxUint32 {
		return errTooLong
	}
	b.AddUint32(uint32(ms))
	return nil
}

func addGroups(b *cryptobyte.Builder, groups []uint32) error {
	if len(groups) == 0 || len(groups) > MaxGroups {
		return errTooLong
	}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, g := range groups {
			b.AddUint32(g)
		}
	})
	return nil
}

// Lists whose length is not bounded by MaxGroups are by their own length of 16 bits,
// which the builder checks.

func addStamps(b *cryptobyte.Builder, stamps []Stamp) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, s := range stamps {
			b.AddUint32(s.Group)
			b.AddUint64(s.Seq)
		}
	})
}

func addPositions(b *cryptobyte.Builder, positions []Position) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, p := range positions {
			b.AddBytes(p.Origin[:])
			b.AddUint32(p.Group)
			b.AddUint64(p.Seq)
			b.AddUint8(flag(p.AtLeast))
		}
	})
}

func addGroupList(b *cryptobyte.Builder, groups []Group) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, g := range groups {
			b.AddUint32(g.Number)
			b.AddUint8(byte(g.Rights))
			addText(b, g.Name)
		}
	})
}
