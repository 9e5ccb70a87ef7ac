package push_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token"
	"github.com/countersign-go/countersign/token/pushwire"
)

// Whatever breaks the protocol ends the connection; the error and the last
// word to the server say what it was.
func TestHostile(t *testing.T) {
	manyGaps := func(first uint64) pushwire.Lost {
		var m pushwire.Lost
		for i := range uint64(2000) {
			g := pushwire.Gap{Group: 1, Seq: 1}
			g.Origin[6], g.Origin[7] = byte((first+i)>>8), byte(first+i)
			g.Origin[5] = byte((first + i) >> 16)
			m.Gaps = append(m.Gaps, g)
		}
		return m
	}
	var origins []pushwire.Message
	for i := range uint64(40) {
		origins = append(origins, manyGaps(2000*i))
	}
	var groups []pushwire.Message
	for i := range uint32(300) {
		var m pushwire.Joined
		for g := range uint32(256) {
			m.Groups = append(m.Groups, 1000+256*i+g)
		}
		groups = append(groups, m)
	}
	for name, tt := range map[string]struct {
		says []pushwire.Message
		want string
	}{
		"result of nothing":  {[]pushwire.Message{pushwire.Result{ID: 99}}, "request 99"},
		"welcome twice":      {[]pushwire.Message{welcome}, "Welcome"},
		"hello":              {[]pushwire.Message{pushwire.Hello{Version: 1}}, "Hello"},
		"request":            {[]pushwire.Message{pushwire.SignRequest{ID: 1}}, "SignRequest"},
		"between servers":    {[]pushwire.Message{pushwire.Beacon{}}, "Beacon"},
		"forward":            {[]pushwire.Message{pushwire.Forward{}}, "Forward"},
		"pong":               {[]pushwire.Message{pushwire.Pong{Number: 1}}, "Pong 1"},
		"too many pings":     {make([]pushwire.Message, 0), "pings"},
		"too many origins":   {origins, "positions"},
		"too many groups":    {groups, "groups"},
		"position elsewhere": {[]pushwire.Message{pushwire.Result{ID: 2, Positions: []pushwire.Position{at("here", 9, 1)}}}, "position"},
		"MIC of nothing":     {[]pushwire.Message{pushwire.Result{ID: 3, MIC: []byte("x")}}, "MIC"},
		"position of a wait": {[]pushwire.Message{pushwire.Result{ID: 3, Positions: []pushwire.Position{at("here", 1, 1)}}}, "position"},
		"MIC of other data":  {[]pushwire.Message{pushwire.Result{ID: 4, MIC: fakeMIC([]byte("other"))}}, "MIC"},
		"no MIC":             {[]pushwire.Message{pushwire.Result{ID: 4}}, "MIC"},
		"MIC of a refusal":   {[]pushwire.Message{pushwire.Result{ID: 4, Status: pushwire.Forbidden, MIC: fakeMIC([]byte("data"))}}, "MIC"},
		"result twice":       {[]pushwire.Message{pushwire.Result{ID: 3}, pushwire.Result{ID: 3}}, "request 3"},
	} {
		if name == "too many pings" {
			for range 100 {
				tt.says = append(tt.says, pushwire.Ping{})
			}
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := listen()
				cfg := l.config()
				cfg.Groups = []uint32{1}
				lost := make(chan error, 1)
				cfg.Events.Disconnected = func(err error, _ time.Duration) { lost <- err }
				c, p := dial(t, l, cfg)
				requests := []*push.Request{c.Subscribe(2), c.Wait(time.Second), c.Sign([]byte("data"))}
				for range requests {
					p.read()
				}
				reader := p.other()
				bye := make(chan string, 1)
				go func() {
					for {
						switch m := reader.next().(type) {
						case nil:
							bye <- "none"
							return
						case pushwire.Bye:
							if m.Code == pushwire.Violation {
								bye <- m.Why
							}
							reader.hangUp()
							return
						}
					}
				}()
				for says := tt.says; len(says) > 0; {
					n := min(len(says), 16)
					if name == "too many pings" {
						n = len(says)
					}
					b, err := pushwire.Append(nil, says[:n]...)
					check(t, err)
					if p.wire.Write(b) != nil {
						break
					}
					says = says[n:]
				}
				err := <-lost
				if _, ok := errors.AsType[*push.ProtocolError](err); !ok || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("the client left: %v", err)
				}
				if why := <-bye; !strings.Contains(why, tt.want) {
					t.Errorf("its last word is %q", why)
				}
				if _, err := requests[2].Wait(t.Context()); err == nil {
					t.Error("signed")
				}
				p = l.welcome(t)
				end(t, c, p)
			})
		})
	}
}

// A wrong MIC is told as what it is.
func TestWrongMIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		c, p := dial(t, l, l.config())
		r := c.Sign([]byte("data"))
		p.done(pushwire.Result{MIC: fakeMIC([]byte("date"))})
		if _, err := r.Wait(t.Context()); !errors.Is(err, gss.ErrBadMIC) {
			t.Errorf("%v", err)
		}
		p.hangUp()
		p = l.welcome(t)
		end(t, c, p)
	})
}

// A server that says anything but its welcome first, or none that the client
// understands, is not connected to.
func TestHostileWelcome(t *testing.T) {
	later := welcome
	later.Version = 2
	for name, tt := range map[string]struct {
		say  pushwire.Message
		want string
	}{
		"result":      {pushwire.Result{ID: 1}, "Result before Welcome"},
		"publication": {published("here", 1, 1), "Publication before Welcome"},
		"version 2":   {later, "version 2"},
		"refusal":     {pushwire.Bye{Code: pushwire.Refused, Why: "you are not welcome"}, "refused the client: you are not welcome"},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := listen()
			dialed := make(chan error)
			go func() {
				_, err := push.Dial(t.Context(), l.config())
				dialed <- err
			}()
			p := l.accept(t)
			p.read()
			p.say(tt.say)
			bye, left := p.read().(pushwire.Bye)
			p.hangUp()
			if err := <-dialed; err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", name, err)
			}
			if left != (name != "refusal") || left && bye.Code != pushwire.Violation {
				t.Errorf("%s: the client's last word is %+v", name, bye)
			}
		})
	}
}

// Frames and tokens that are none end the connection, and take no more memory
// than one of the protocol.
func TestHostileFrames(t *testing.T) {
	const sealed = token.Data | token.Wrapped | token.Encrypted
	for name, frame := range map[string]struct {
		flags token.Flags
		data  []byte
		want  string
	}{
		"another frame":  {token.NOOP, nil, "NOOP"},
		"not sealed":     {sealed, []byte("P\x00\x00\x00\x00\x00\x00\x00\x01"), "not encrypted"},
		"no token":       {sealed, []byte("x"), "no such token"},
		"another token":  {sealed, []byte("S\x00\x00\x00\x00\x00\x00\x00\x09"), "token 9"},
		"half a message": {sealed, []byte("S\x00\x00\x00\x00\x00\x00\x00\x01\x40\x00\x00\x08"), "truncated"},
		"too long":       {sealed, make([]byte, pushwire.MaxToken+64<<10), "longer than"},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := listen()
			cfg := l.config()
			lost := make(chan error, 1)
			cfg.Events.Disconnected = func(err error, _ time.Duration) { lost <- err }
			c, p := dial(t, l, cfg)
			go func(p *peer) {
				_ = token.NewConn(p.conn).WriteFrame(frame.flags, frame.data) // it may not be read to its end
				for p.next() != nil {
				}
				p.hangUp()
			}(p)
			if err := <-lost; !strings.Contains(err.Error(), frame.want) {
				t.Errorf("%s: %v", name, err)
			}
			p = l.welcome(t)
			end(t, c, p)
		})
	}
}
