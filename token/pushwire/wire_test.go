package pushwire_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/token/pushwire"
)

var (
	origin = pushwire.Origin{1, 2, 3, 4, 5, 6, 7, 8}
	when   = time.Unix(0, 1_700_000_000_123_456_789)
)

// samples has a message of every kind, with every field set.
var samples = []pushwire.Message{
	pushwire.Hello{Version: 1, Presence: true},
	pushwire.SubscribeRequest{ID: 1, Groups: []uint32{1, 3}},
	pushwire.LeaveRequest{ID: 2, Groups: []uint32{7}},
	pushwire.PublishRequest{ID: 3, Groups: []uint32{1, 2}, Data: []byte("to the groups")},
	pushwire.SendRequest{ID: 4, To: "alice@EXAMPLE.COM", Data: []byte("to alice")},
	pushwire.SignRequest{ID: 5, Data: []byte("signed")},
	pushwire.WaitRequest{ID: 6, For: 1500 * time.Millisecond},
	pushwire.Ping{Number: 8},
	pushwire.Pong{Number: 9},
	pushwire.Bye{Code: pushwire.TooSlow, Why: "queue full"},
	pushwire.Welcome{
		Version: 1, Origin: origin, Server: "push/localhost@EXAMPLE.COM", You: "bob@EXAMPLE.COM", Local: "bob",
		MaxData: 65536, Idle: time.Minute, Groups: []pushwire.Group{{Number: 1, Rights: pushwire.Read | pushwire.Publish, Name: "R&D Department"}},
	},
	pushwire.Result{ID: 1, Status: pushwire.Done, Receivers: 4, Why: "why", Positions: []pushwire.Position{{Origin: origin, Group: 1, Seq: 17, AtLeast: true}}, MIC: []byte("mic")},
	pushwire.Publication{Origin: origin, Time: when, From: "bob@EXAMPLE.COM", Stamps: []pushwire.Stamp{{Group: 1, Seq: 18}, {Group: 2, Seq: 1}}, Data: []byte("data")},
	pushwire.Direct{Time: when, From: "bob@EXAMPLE.COM", Data: []byte("data")},
	pushwire.Presence{Entered: true, Who: "bob@EXAMPLE.COM", Groups: []uint32{1}},
	pushwire.Joined{Groups: []uint32{1, 3}, Positions: []pushwire.Position{{Origin: origin, Group: 3, Seq: 2}}},
	pushwire.Removed{Groups: []uint32{2}},
	pushwire.GroupsChanged{Groups: []pushwire.Group{{Number: 4, Rights: pushwire.Read, Name: "new"}}},
	pushwire.Lost{Count: 3, Directs: 1, Gaps: []pushwire.Gap{{Origin: origin, Group: 1, After: 18, Seq: 20, Open: true}}},
	pushwire.Forward{Local: true, To: "alice", Direct: pushwire.Direct{Time: when, From: "bob@EXAMPLE.COM", Data: []byte("data")}},
	pushwire.Beacon{Origin: origin, Ends: true, Stamps: []pushwire.Stamp{{Group: 1, Seq: 20}}},
}

func TestRoundTrip(t *testing.T) {
	all, err := pushwire.Append([]byte("before"), samples...)
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := bytes.CutPrefix(all, []byte("before"))
	if !ok {
		t.Fatal("Append changed what was there")
	}
	for _, want := range samples {
		var got pushwire.Message
		if got, rest, err = pushwire.Next(rest); err != nil {
			t.Fatalf("%T: %v", want, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %#v, want %#v", got, want)
		}
	}
	if len(rest) > 0 {
		t.Errorf("%d octets left", len(rest))
	}
}

// A message that is cut off, or that has an octet more than it says, is none.
func TestPrefixes(t *testing.T) {
	for _, m := range samples {
		whole, err := pushwire.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		for n := range whole {
			if got, _, err := pushwire.Next(whole[:n]); err == nil {
				t.Errorf("%T: %d of %d octets read as %#v", m, n, len(whole), got)
			}
		}
	}
	for _, m := range samples[7:9] { // those that end in nothing that takes more
		longer, err := pushwire.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		longer[3]++
		if got, _, err := pushwire.Next(append(longer, 0)); err == nil {
			t.Errorf("%T with an octet more read as %#v", m, got)
		}
	}
}

// The version 1 encoding does not change.
func TestEncoding(t *testing.T) {
	for _, tt := range []struct {
		m    pushwire.Message
		want string
	}{
		{pushwire.Hello{Version: 1}, "\x01\x00\x00\x12countersign push\x01\x00"},
		{pushwire.PublishRequest{ID: 258, Groups: []uint32{1, 2}, Data: []byte("hi")}, "\x04\x00\x00\x14\x00\x00\x00\x00\x00\x00\x01\x02\x00\x08\x00\x00\x00\x01\x00\x00\x00\x02hi"},
		{pushwire.Direct{Time: time.Unix(0, 1), From: "a@R", Data: []byte("x")}, "\x84\x00\x00\x0e\x00\x00\x00\x00\x00\x00\x00\x01\x00\x03a@Rx"},
		{pushwire.Joined{Groups: []uint32{1}, Positions: []pushwire.Position{{Origin: origin, Group: 1, Seq: 2, AtLeast: true}}}, "\x86\x00\x00\x1d\x00\x04\x00\x00\x00\x01\x00\x15\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x01"},
		{pushwire.Bye{Code: pushwire.Stopping, Why: "s"}, "\x42\x00\x00\x04\x01\x00\x01s"},
	} {
		got, err := pushwire.Append(nil, tt.m)
		if err != nil || string(got) != tt.want {
			t.Errorf("%#v is % x, %v; want % x", tt.m, got, err, tt.want)
		}
	}
}

func TestLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		fits, beyond pushwire.Message
	}{
		"data":   {pushwire.SignRequest{Data: make([]byte, pushwire.MaxData)}, pushwire.SignRequest{Data: make([]byte, pushwire.MaxData+1)}},
		"name":   {pushwire.SendRequest{To: strings.Repeat("a", pushwire.MaxName)}, pushwire.SendRequest{To: strings.Repeat("a", pushwire.MaxName+1)}},
		"groups": {pushwire.Removed{Groups: make([]uint32, pushwire.MaxGroups)}, pushwire.Removed{Groups: make([]uint32, pushwire.MaxGroups+1)}},
		"none":   {pushwire.Removed{Groups: make([]uint32, 1)}, pushwire.Removed{}},
		"wait":   {pushwire.WaitRequest{For: pushwire.MaxWait}, pushwire.WaitRequest{For: pushwire.MaxWait + time.Millisecond}},
	} {
		encoded, err := pushwire.Append(nil, tt.fits)
		if err != nil {
			t.Errorf("%s at the limit: %v", name, err)
		} else if _, _, err := pushwire.Next(encoded); err != nil {
			t.Errorf("%s at the limit: %v", name, err)
		}
		if _, err := pushwire.Append(nil, tt.beyond); err == nil {
			t.Errorf("%s beyond the limit is encoded", name)
		}
	}
}

// What reads, writes back to the same octets.
func FuzzNext(f *testing.F) {
	for _, m := range samples {
		b, err := pushwire.Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, rest, err := pushwire.Next(b)
		if err != nil {
			return
		}
		again, err := pushwire.Append(nil, m)
		if err != nil {
			t.Fatalf("%#v was read and cannot be written: %v", m, err)
		}
		if want := b[:len(b)-len(rest)]; !bytes.Equal(again, want) {
			t.Fatalf("% x was read as %#v and written as % x", want, m, again)
		}
	})
}
