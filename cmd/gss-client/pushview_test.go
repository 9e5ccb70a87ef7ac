package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/token/pushwire"
)

// scene is all that can happen, with names that would steer a terminal.
func scene(v *pushView) {
	e := v.events()
	at := time.Date(2026, 11, 22, 10, 14, 3, 123456789, time.UTC)
	v.now = func() time.Time { return at }
	origin := pushwire.Origin{1, 2, 3, 4, 5, 6, 7, 8}
	e.Connected(pushwire.Welcome{Server: "host/s@R", You: "bob@R", Local: "bob", Groups: []pushwire.Group{
		{Number: 1, Rights: pushwire.Read | pushwire.Publish, Name: "R&D"}, {Number: 2, Rights: pushwire.Publish, Name: "\x1b[2J"},
	}})
	e.Joined([]uint32{1})
	e.Published(push.Publication{From: "alice@R", Origin: origin, Time: at, Data: []byte("<hello>\nfake: line"), Groups: []pushwire.Stamp{{Group: 1, Seq: 7}, {Group: 9, Seq: 1}}})
	e.Published(push.Publication{From: "a\xff\u202e@R", Origin: origin, Time: at, Data: []byte{0xff, 0}, Groups: []pushwire.Stamp{{Group: 2, Seq: 8}}})
	e.Sent(push.Direct{Time: at, Data: []byte{}})
	e.Entered("\x07@R", []uint32{1, 2})
	e.Left("carol@R", []uint32{1})
	e.Removed([]uint32{1})
	e.Lost(push.Loss{Count: 3, Directs: 1, Groups: map[uint32]uint64{2: 1, 1: 1}, Unknown: true})
	e.Lost(push.Loss{Count: 1})
	e.Lost(push.Loss{Unknown: true})
	e.Lost(push.Loss{DirectsUnknown: true})
	e.Lost(push.Loss{Count: 2, DirectsUnknown: true})
	e.Disconnected(errors.New("broken\r"), 1234567*time.Microsecond)
	e.Disconnected(errors.New("refused"), 0)
	v.result(&operation{verb: "publish", groups: []uint32{1, 2}, line: 4}, push.Result{Receivers: 1}, nil)
	v.result(&operation{verb: "to", to: "a\x1b@R"}, push.Result{}, push.ErrAbsent)
	v.result(&operation{verb: "subscribe", groups: []uint32{9}}, push.Result{}, &push.RefusedError{Status: pushwire.NoGroup, Why: "there is no group 9"})
	v.result(&operation{verb: "sign"}, push.Result{MIC: []byte("mic")}, nil)
	v.result(&operation{verb: "wait", pause: time.Second}, push.Result{}, fmt.Errorf("%w: gone", push.ErrInterrupted))
}

func TestView(t *testing.T) {
	var out strings.Builder
	v := newPushView(&out, &options{push: pushOptions{watch: true}}, func(err error) { t.Error(err) })
	scene(v)
	const want = `connected to host/s@R as bob@R (bob)
the server subscribed you to 1 R&D
[1 R&D, 9] alice@R: <hello>\nfake: line
[2 \x1b[2J] a\xff\u202e@R: \xff\x00
[to you] the server: 
\a@R entered 1 R&D, 2 \x1b[2J
carol@R left 1 R&D
the server took you out of 1 R&D
3 messages lost (1 of 1 R&D, 1 of 2 \x1b[2J, 1 to you), and there may be more
1 message lost
messages may have been lost
messages to you may have been lost
2 messages lost, and there may be more to you
not connected: broken\r; trying again in 1.235s
not connected: refused
line 4: publish 1,2: done, 1 receiver
to a\x1b@R: nobody of that name is connected
subscribe 9: there is no group 9
sign: done, signature verified
wait 1s: the connection went before the result came: gone
`
	if got := strings.ReplaceAll(out.String(), "2026-11-22T10:14:03.123456Z ", ""); got != want {
		t.Errorf("it is\n%s\nwant\n%s", got, want)
	}
	if n := strings.Count(out.String(), "\n2026-"); n != strings.Count(want, "\n")-1 {
		t.Errorf("%d lines begin with the time:\n%s", n, &out)
	}

	out.Reset()
	v = newPushView(&out, &options{push: pushOptions{watch: true}}, nil)
	v.screen, v.colours = true, true
	scene(v)
	if got := out.String(); !strings.Contains(got, "\x1b[36m[1 R&D, 9]\x1b[0m \x1b[1malice@R\x1b[0m: <hello>") ||
		strings.Count(got, "\x1b[0m") != strings.Count(got, "\x1b[")-strings.Count(got, "\x1b[0m") {
		t.Errorf("in colours it is\n%q", got)
	}
	if clock := time.Date(2026, 11, 22, 10, 14, 3, 0, time.UTC).Local().Format(time.TimeOnly); strings.Count(out.String(), clock) != strings.Count(want, "\n") {
		t.Errorf("times are not short:\n%q", &out)
	}
}

func TestViewJSON(t *testing.T) {
	var out strings.Builder
	v := newPushView(&out, &options{json: true, push: pushOptions{watch: true}}, func(err error) { t.Error(err) })
	scene(v)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	want := []string{
		`{"event":"connected","server":"host/s@R","you":"bob@R","local":"bob","rights":[{"group":1,"name":"R&D","read":true,"publish":true},{"group":2,"name":"\u001b[2J","read":false,"publish":true}]}`,
		`{"event":"joined","groups":[1]}`,
		`{"event":"published","from":"alice@R","groups":[1,9],"seqs":[7,1],"origin":"0102030405060708","text":"<hello>\nfake: line"}`,
		`{"event":"published","from":"a\\xff\u202e@R","groups":[2],"seqs":[8],"origin":"0102030405060708","base64":"/wA="}`,
		`{"event":"sent","text":""}`,
		`{"event":"entered","who":"\u0007@R","groups":[1,2]}`,
		`{"event":"left","who":"carol@R","groups":[1]}`,
		`{"event":"removed","groups":[1]}`,
		`{"event":"lost","count":3,"directs":1,"by_group":{"1":1,"2":1},"unknown":true}`,
		`{"event":"lost","count":1}`,
		`{"event":"lost","unknown":true}`,
		`{"event":"lost","directs_unknown":true}`,
		`{"event":"lost","count":2,"directs_unknown":true}`,
		`{"event":"disconnected","error":"broken\r","retry_in":1.234567}`,
		`{"event":"disconnected","error":"refused"}`,
		`{"event":"result","operation":"publish","line":4,"groups":[1,2],"status":"done","receivers":1}`,
		`{"event":"result","operation":"to","to":"a\u001b@R","status":"absent","receivers":0,"error":"nobody of that name is connected"}`,
		`{"event":"result","operation":"subscribe","groups":[9],"status":"no_group","error":"there is no group 9"}`,
		`{"event":"result","operation":"sign","status":"done","mic":"bWlj"}`,
		`{"event":"result","operation":"wait","status":"failed","error":"the connection went before the result came: gone"}`,
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), &out)
	}
	for i := range want {
		var a, b map[string]any
		check(t, errors.Join(json.Unmarshal([]byte(lines[i]), &a), json.Unmarshal([]byte(want[i]), &b)))
		if a["time"] != "2026-11-22T10:14:03.123456789Z" {
			t.Errorf("time %v", a["time"])
		}
		delete(a, "time")
		if !reflect.DeepEqual(a, b) {
			t.Errorf("line %d is\n%s\nwant\n%s", i+1, lines[i], want[i])
		}
	}
}

// Without watching there are results alone, and nothing at all with -q.
func TestViewResults(t *testing.T) {
	var out strings.Builder
	op := &operation{verb: "to", to: "bob", data: []byte("x")}
	newPushView(&out, &options{}, nil).result(op, push.Result{Receivers: 2}, nil)
	newPushView(&out, &options{quiet: true}, nil).result(op, push.Result{Receivers: 2}, nil)
	if got := out.String(); got != "to bob: done, 2 receivers\n" {
		t.Errorf("it is %q", got)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// Output that cannot be written is told once.
func TestViewCannotWrite(t *testing.T) {
	told := 0
	v := newPushView(fullDisk{}, &options{push: pushOptions{watch: true}}, func(error) { told++ })
	scene(v)
	if err := v.failure(); told != 1 || err == nil || err.Error() != "writing standard output: no space left" {
		t.Errorf("told %d times; %v", told, err)
	}
}
