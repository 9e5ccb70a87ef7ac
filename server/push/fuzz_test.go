package push_test

import (
	"testing"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token/pushwire"
)

// Whatever a client with a good context says, its session ends, nothing is held
// afterwards, and another one is served and gets only what a client can have said.
func FuzzService(f *testing.F) {
	for _, msgs := range [][]pushwire.Message{
		{pushwire.SubscribeRequest{ID: 1, Groups: []uint32{1, 3}}, pushwire.PublishRequest{ID: 2, Groups: []uint32{1}, Data: []byte("x")}},
		{pushwire.SendRequest{ID: 3, To: "other@R", Data: []byte("x")}, pushwire.SignRequest{ID: 4, Data: []byte("x")}},
		{pushwire.WaitRequest{ID: 5, For: 1e6}, pushwire.LeaveRequest{ID: 6, Groups: []uint32{1}}, pushwire.Ping{Number: 7}},
		{pushwire.WaitRequest{ID: 5, For: pushwire.MaxWait}, pushwire.SignRequest{ID: 6}, pushwire.Bye{}},
		{pushwire.Bye{}, pushwire.Publication{Stamps: []pushwire.Stamp{{Group: 1, Seq: 1}}}},
		{pushwire.Direct{From: "boss@R"}},
	} {
		f.Add(encode(f, msgs...), encode(f, pushwire.Pong{}))
	}
	s := newServer(f, push.Config{Limits: push.Limits{Rate: 1e6}})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		other := pushtest.Dial(t, s, "other@R", pushwire.Hello{Presence: true})
		other.Subscribe(1, 2)
		evil := pushtest.Dial(t, s, "evil@R", pushwire.Hello{})
		if evil.WriteRaw(first) == nil {
			_ = evil.WriteRaw(second)
		}
		evil.Close()
		<-evil.Ended
		other.Bye()
		for _, m := range other.Rest() {
			from := ""
			switch m := m.(type) {
			case pushwire.Publication:
				from = m.From
			case pushwire.Direct:
				from = m.From
			case pushwire.Presence:
				from = m.Who
			default:
				t.Errorf("another one got %#v", m)
			}
			if from != "evil@R" {
				t.Errorf("%#v says it is from %q", m, from)
			}
		}
		if used := s.Memory().Used(); used != 0 {
			t.Errorf("%d octets are held", used)
		}
	})
}
