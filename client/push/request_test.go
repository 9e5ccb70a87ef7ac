package push_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/token/pushwire"
)

// Each kind of request says what was asked for, and its result what came of it.
func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		var flags gss.Flags
		cfg := l.config()
		cfg.Client.Initiator = &fake{asked: func(r gss.Request) { flags = r.Flags }}
		cfg.Client.Flags = gss.Delegation | gss.Sequencing
		c, p := dial(t, l, cfg)
		if want := gss.Delegation | gss.Mutual | gss.ReplayDetection | gss.Confidentiality | gss.Integrity; flags != want {
			t.Errorf("a context with %v, want %v", flags, want)
		}
		data := []byte("hello")
		for _, tt := range []struct {
			request func() *push.Request
			want    string
			mic     bool
		}{
			{func() *push.Request { return c.Subscribe(1, 2) }, "SubscribeRequest [1 2]", false},
			{func() *push.Request { return c.Leave(2) }, "LeaveRequest [2]", false},
			{func() *push.Request { return c.Publish(data, 3, 4) }, "PublishRequest [3 4] hello", false},
			{func() *push.Request { return c.Send("bob", data) }, "SendRequest bob hello", false},
			{func() *push.Request { return c.Sign(data) }, "SignRequest hello", true},
			{func() *push.Request { return c.Wait(time.Second) }, "WaitRequest 1s", false},
		} {
			r := tt.request()
			result := pushwire.Result{Receivers: 7}
			if tt.mic {
				result.MIC = fakeMIC(data)
			}
			m := p.done(result)
			if got := describe(m); got != tt.want {
				t.Errorf("the server was asked for %s, want %s", got, tt.want)
			}
			got, err := r.Wait(t.Context())
			if err != nil || got.Receivers != 7 || tt.mic != (string(got.MIC) == string(fakeMIC(data))) {
				t.Errorf("%s: %+v, %v", tt.want, got, err)
			}
		}
		if got := c.Subscribed(); !slices.Equal(got, []uint32{1}) {
			t.Errorf("subscribed to %v", got)
		}
		end(t, c, p)
	})
}

func describe(m pushwire.Message) string {
	switch m := m.(type) {
	case pushwire.SubscribeRequest:
		return sprint("SubscribeRequest", m.Groups)
	case pushwire.LeaveRequest:
		return sprint("LeaveRequest", m.Groups)
	case pushwire.PublishRequest:
		return sprint("PublishRequest", m.Groups, string(m.Data))
	case pushwire.SendRequest:
		return sprint("SendRequest", m.To, string(m.Data))
	case pushwire.SignRequest:
		return sprint("SignRequest", string(m.Data))
	case pushwire.WaitRequest:
		return sprint("WaitRequest", m.For)
	}
	return sprint(m)
}

// A refusal is told with status and reason, and breaks nothing.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		c, p := dial(t, l, l.config())
		for status, want := range map[pushwire.Status]error{
			pushwire.Forbidden: push.ErrForbidden, pushwire.NoGroup: push.ErrNoGroup, pushwire.Absent: push.ErrAbsent,
			pushwire.TooOften: push.ErrTooOften, pushwire.TooLong: push.ErrTooLong, pushwire.TooMany: push.ErrTooMany,
			pushwire.Declined: push.ErrDeclined, pushwire.Unreached: push.ErrUnreached,
		} {
			r := c.Send("bob", nil)
			p.done(pushwire.Result{Status: status, Receivers: 2, Why: "be\x1bcause"})
			result, err := r.Wait(t.Context())
			refused, ok := errors.AsType[*push.RefusedError](err)
			if !ok || refused.Status != status || !errors.Is(err, want) || result.Receivers != 2 {
				t.Errorf("%v: %+v, %v", status, result, err)
			}
			if errors.Is(err, push.ErrNoGroup) != (status == pushwire.NoGroup) {
				t.Errorf("%v is ErrNoGroup", err)
			}
			if text := err.Error(); !strings.HasSuffix(text, `: be\x1bcause`) {
				t.Errorf("%q", text)
			}
		}
		end(t, c, p)
	})
}

// What cannot be right is not sent.
func TestNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		c, p := dial(t, l, l.config())
		for name, r := range map[string]*push.Request{
			"no groups":       c.Publish([]byte("x")),
			"too many groups": c.Subscribe(make([]uint32, pushwire.MaxGroups+1)...),
			"nobody":          c.Send("", nil),
			"long name":       c.Send(strings.Repeat("x", pushwire.MaxName+1), nil),
			"long wait":       c.Wait(pushwire.MaxWait + 1),
			"negative wait":   c.Wait(-1),
			"too long ever":   c.Sign(make([]byte, pushwire.MaxData+1)),
			"too long here":   c.Sign(make([]byte, welcome.MaxData+1)),
		} {
			_, err := r.Wait(t.Context())
			if err == nil || strings.HasPrefix(name, "too long") != errors.Is(err, push.ErrTooLong) {
				t.Errorf("%s: %v", name, err)
			}
		}
		r := c.Sign(make([]byte, welcome.MaxData))
		if m, ok := p.done(pushwire.Result{MIC: fakeMIC(make([]byte, welcome.MaxData))}).(pushwire.SignRequest); !ok || len(m.Data) != int(welcome.MaxData) {
			t.Errorf("the server was asked for %T", m)
		}
		if _, err := r.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		end(t, c, p)
	})
}

// Callbacks come in the order of the results, once each, whether set before or
// after; one that takes long holds up no Wait.
func TestThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		c, p := dial(t, l, l.config())
		first, second := c.Send("a", nil), c.Send("b", nil)
		var order []string
		inFirst, goOn := make(chan bool), make(chan bool)
		second.Then(func(r push.Result, err error) { order = append(order, sprint("second", r.Receivers, err)) })
		first.Then(func(r push.Result, err error) {
			order = append(order, sprint("first", r.Receivers, err))
			close(inFirst)
			<-goOn
		})
		p.done(pushwire.Result{Receivers: 1})
		<-inFirst
		p.done(pushwire.Result{Status: pushwire.Absent})
		if _, err := second.Wait(t.Context()); !errors.Is(err, push.ErrAbsent) {
			t.Error(err)
		}
		first.Then(func(r push.Result, err error) { order = append(order, sprint("late", r.Receivers, err)) })
		close(goOn)
		end(t, c, p)
		want := []string{"first 1 <nil>", "second 0 nobody of that name is connected", "late 1 <nil>"}
		if !slices.Equal(order, want) {
			t.Errorf("called %q, want %q", order, want)
		}
	})
}

// Callbacks of requests that were not sent when the client ended, or were made
// afterwards, are called all the same.
func TestThenAtEnd(t *testing.T) {
	for range 20 { // the client's goroutines end beside Close
		synctest.Test(t, func(t *testing.T) {
			l := listen()
			c, p := dial(t, l, l.config())
			l.setDown("server:1")
			p.hangUp()
			synctest.Wait()
			called := make(chan error, 2)
			then := func(_ push.Result, err error) { called <- err }
			c.Sign(nil).Then(then)
			check(t, c.Close())
			<-c.Done()
			if len(called) != 1 {
				t.Fatal("the callback of a request that waited was not called before the end")
			}
			c.Sign(nil).Then(then)
			for range 2 {
				if err := <-called; !errors.Is(err, push.ErrClosed) {
					t.Errorf("called with %v", err)
				}
			}
		})
	}
}

// The end of Wait's context ends the waiting alone.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen()
		c, p := dial(t, l, l.config())
		r := c.Wait(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		p.done(pushwire.Result{})
		if _, err := r.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		end(t, c, p)
	})
}

// No more than a window of requests is under way; the next one waits.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = 256
		l := listen()
		c, p := dial(t, l, l.config())
		made := make(chan *push.Request, window+1)
		go func() {
			for range window + 1 {
				made <- c.Publish([]byte("x"), 1)
			}
			close(made)
		}()
		var asked []pushwire.Message
		for range window {
			asked = append(asked, p.read())
		}
		synctest.Wait()
		if n := c.UnderWay(); n != window || len(made) != window {
			t.Errorf("%d requests under way, %d made", n, len(made))
		}
		p.say(pushwire.Result{ID: requestID(t, asked[0])})
		p.done(pushwire.Result{})
		for _, m := range asked[1:] {
			p.say(pushwire.Result{ID: requestID(t, m)})
		}
		for r := range made {
			if _, err := r.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		end(t, c, p)
	})
}
