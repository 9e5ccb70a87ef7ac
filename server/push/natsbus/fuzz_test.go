package natsbus

import (
	"bytes"
	"testing"

	"github.com/countersign-go/countersign/server/push"
)

// What is not exactly a message is refused, and what is one has one writing.
func FuzzMessage(f *testing.F) {
	from := instance{1, 2, 3, 4, 5, 6, 7, 8}
	user, err := appendUser(from, push.User{Name: "alice", Local: true}, []byte("hello"))
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{nil, appendPlain(from, nil), appendPlain(from, []byte("hello")), appendReply(from, true, 3), user} {
		f.Add("countersign.push.v1.group.1", "countersign.push.v1.reply.0102030405060708.1", b)
		f.Add("countersign.push.v1.all", "", b)
	}
	b, err := New(Config{Servers: "nats://127.0.0.1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, subject, reply string, data []byte) {
		item, ok := b.classify(subject, reply, data)
		switch {
		case !ok || item.what == nothing:
			return
		case item.what == sent && (b.subj.user(item.user) != subject || !b.subj.isReply(reply)):
			t.Errorf("%q for %+v came by %s, to be answered at %s", data, item.user, subject, reply)
		case len(item.msg) > len(data):
			t.Errorf("%d octets became %d", len(data), len(item.msg))
		}
	})
}

// A message read and written again is the same.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte("\x01instance"))
	f.Add([]byte("\x02instance\x01\x00\x05alicehello"))
	f.Add([]byte("\x03instance\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parse(data)
		if err != nil {
			return
		}
		var again []byte
		switch e.kind {
		case kindPlain:
			again = appendPlain(e.from, e.msg)
		case kindUser:
			if again, err = appendUser(e.from, e.user, e.msg); err != nil {
				t.Fatal(err)
			}
		case kindReply:
			again = appendReply(e.from, e.here, e.sessions)
		}
		if !bytes.Equal(again, data) {
			t.Errorf("%x became %x", data, again)
		}
	})
}

// However NATS's protocol is cut into pieces, the guard judges it alike, and keeps
// no more than a line.
func FuzzGuard(f *testing.F) {
	f.Add([]byte("INFO {}\r\nPING\r\n+OK\r\nMSG a 1 5\r\nhello\r\nHMSG a 1 b 12 14\r\nNATS/1.0\r\n\r\nxy\r\n-ERR 'x'\r\nPONG\r\n"), 3)
	f.Add([]byte("MSG a 1 9223372036854775807\r\nx"), 1)
	f.Add([]byte("MSG a 1 2\r\nxyz\r\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		var whole, parts guard
		size = max(1, size)
		a, b := whole.see(data), error(nil)
		for rest := data; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			b = parts.see(rest[:min(size, len(rest))])
		}
		if (a == nil) != (b == nil) {
			t.Errorf("%q: %v, in parts of %d: %v", data, a, size, b)
		}
		if whole.skip > maxPayload || cap(whole.line) > 2*maxLine {
			t.Errorf("%d octets to come, %d kept", whole.skip, cap(whole.line))
		}
	})
}
