package push_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// FuzzServer has a server say anything after its welcome: the client answers
// nothing but what is its to say, no request succeeds but by a result, and no
// publication comes twice.
func FuzzServer(f *testing.F) {
	for _, msgs := range [][]pushwire.Message{
		{published("here", 5, 1), published("here", 5, 1)},
		{pushwire.Result{ID: 2, Positions: []pushwire.Position{at("here", 2, 4)}}, pushwire.Result{ID: 3, MIC: fakeMIC([]byte("data"))}},
		{pushwire.Lost{Count: 2, Gaps: []pushwire.Gap{gap("here", 1, 4, 9)}}, published("here", 10, 1)},
		{pushwire.Joined{Groups: []uint32{4}, Positions: []pushwire.Position{at("here", 4, 1)}}, pushwire.Removed{Groups: []uint32{1}}},
		{pushwire.Presence{Who: "x", Groups: []uint32{1}}, pushwire.Ping{Number: 1}, pushwire.Pong{Number: 1}},
		{pushwire.GroupsChanged{}, pushwire.Direct{From: "x"}, pushwire.Bye{Code: pushwire.Refused}},
	} {
		b, err := pushwire.Append(nil, msgs...)
		check(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		if len(said) > pushwire.MaxToken {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			l := listen()
			cfg := l.config()
			cfg.Groups, cfg.MinBackOff, cfg.MaxBackOff = []uint32{1}, time.Hour, time.Hour
			seen := make(map[string]bool)
			cfg.Events.Published = func(p push.Publication) {
				for _, s := range p.Groups {
					if s.Group == 1 {
						if key := sprint(p.Origin, s.Seq); seen[key] && len(p.Groups) == 1 {
							t.Errorf("%s came twice", key)
						} else {
							seen[key] = true
						}
					}
				}
			}
			cfg.Events.Lost = func(l push.Loss) {
				if l.Count == 0 && !l.Unknown {
					t.Errorf("told of no loss: %+v", l)
				}
			}
			c, p := dial(t, l, cfg, at("here", 1, 4))
			subscribe, sign := c.Subscribe(2), c.Sign([]byte("data"))
			p.read()
			p.read()
			go func() {
				defer p.hangUp()
				for {
					switch m := p.next().(type) {
					case nil, pushwire.Bye:
						return
					case pushwire.Pong:
					default:
						t.Errorf("the client says %T", m)
					}
				}
			}()
			_ = p.wire.Write(said) // the client may have left
			synctest.Wait()
			check(t, c.Close())
			<-c.Done()
			_, err := subscribe.Wait(t.Context())
			result, serr := sign.Wait(t.Context())
			if err == nil && !bytes.Contains(said, []byte{0x82}) || serr == nil && !bytes.Equal(result.MIC, fakeMIC([]byte("data"))) {
				t.Errorf("done without a result: %v, %v", err, serr)
			}
			if cerr := c.Err(); cerr == nil || errors.Is(cerr, io.EOF) {
				t.Errorf("ended by %v", cerr)
			}
		})
	})
}
