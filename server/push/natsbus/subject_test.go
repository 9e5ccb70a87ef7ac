package natsbus_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/natsbus"
	"github.com/countersign-go/countersign/server/push/natsbus/natstest"
	"github.com/countersign-go/countersign/token/pushwire"
)

// hostileNames would be other subjects, or none, if they got into one.
var hostileNames = []string{
	"", ".", "..", "*", ">", "alice.*", "alice@EXAMPLE.ORG.>", "countersign.push.v1.all", "$SYS.REQ.SERVER.PING",
	"a b", "a\tb", "a\r\nPUB countersign.push.v1.all 1\r\nx\r\n", "a\x00b", "a\x00", "\xff\xfe", "ä@EXAMPLE.ORG", "a\u0308@EXAMPLE.ORG",
	"ALICE@EXAMPLE.ORG", "alice@EXAMPLE.ORG ", "alice@example.org",
	strings.Repeat("a", 1000), strings.Repeat("a.", 500), strings.Repeat("\x00", 1000), strings.Repeat(">", pushwire.MaxName),
}

// Whatever a name is made of: its messages get to it, and to nobody else.
func TestHostileNames(t *testing.T) {
	url := natstest.New(t, 1).URLs()
	a, b, c := join(t, url), join(t, url), join(t, url)
	var users []push.User
	for _, name := range hostileNames {
		users = append(users, push.User{Name: name}, push.User{Name: name, Local: true})
	}
	// b has every second user, c the others.
	hubOf := func(i int) *hub { return []*hub{b, c}[i%2] }
	for i, u := range users {
		hubOf(i).ok(hubOf(i).WantUser(u, true))
	}
	b.reaches(a)
	c.reaches(a)
	var want [2][]string
	for i, u := range users {
		msg := fmt.Sprint(i)
		if n, err := a.Send(context.Background(), u, []byte(msg)); n != 1 || err != nil {
			t.Errorf("%.40q: %d sessions, %v", u.Name, n, err)
		}
		want[i%2] = append(want[i%2], fmt.Sprintf("sent %q %v %s", u.Name, u.Local, msg))
	}
	a.ok(a.Announce([]byte("end")))
	for i, h := range []*hub{b, c} {
		got := strings.Join(h.awaitLast("announced end"), "\n")
		if got != strings.Join(want[i], "\n")+"\nannounced end" {
			t.Errorf("one was told %.3000q", got)
		}
	}
	if _, err := a.Send(context.Background(), push.User{Name: strings.Repeat("x", pushwire.MaxName+1)}, nil); err == nil {
		t.Error("sent to a name longer than any")
	}
}

// What subjects are is what the package says that they are.
func TestSubjects(t *testing.T) {
	url := natstest.New(t, 1).URLs()
	a := join(t, url)
	seen := make(chan *nats.Msg, 100)
	spy := outsider(t, url)
	if _, err := spy.ChanSubscribe(">", seen); err != nil {
		t.Fatal(err)
	}
	if err := spy.Flush(); err != nil {
		t.Fatal(err)
	}
	sum, err := exec.Command("sh", "-c", "printf %s alice@EXAMPLE.ORG | sha256sum").Output()
	if err != nil {
		t.Fatal(err)
	}
	hash, _, _ := bytes.Cut(sum, []byte(" "))
	a.ok(a.Publish([]uint32{7}, []byte("7")))
	a.ok(a.Publish([]uint32{7, 8}, []byte("7 and 8")))
	a.ok(a.Announce([]byte("all")))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a.Send(ctx, alice, []byte("alice"))
	a.Send(ctx, push.User{Name: alice.Name, Local: true}, []byte("local"))
	for _, want := range []struct{ subject, msg string }{
		{"countersign.push.v1.group.7", "7"},
		{"countersign.push.v1.groups", "7 and 8"},
		{"countersign.push.v1.all", "all"},
		{"countersign.push.v1.user." + string(hash), "alice"},
		{"countersign.push.v1.local." + string(hash), "local"},
	} {
		m := <-seen
		if m.Subject != want.subject || !bytes.HasSuffix(m.Data, []byte(want.msg)) {
			t.Errorf("%q came by %s, want %q by %s", m.Data, m.Subject, want.msg, want.subject)
		}
		if reply := regexp.MustCompile(`^countersign\.push\.v1\.reply\.[0-9a-f]{16}\.\d+$`); m.Reply != "" && !reply.MatchString(m.Reply) {
			t.Errorf("reply asked for at %s", m.Reply)
		}
	}
}

// Two prefixes are two audiences.
func TestPrefixes(t *testing.T) {
	url := natstest.New(t, 1).URLs()
	a := join(t, url)
	b := join(t, url, func(c *natsbus.Config) { c.Prefix = "countersign.push.v1" })
	c := join(t, url)
	for _, h := range []*hub{b, c} {
		h.ok(h.WantGroup(1, true))
		h.ok(h.WantUser(alice, true))
	}
	c.reaches(a)
	a.ok(a.Publish([]uint32{1}, []byte("1")))
	if n, err := a.Send(context.Background(), alice, []byte("2")); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	a.ok(a.Announce([]byte("end")))
	c.awaitLast("announced end")
	a.ok(b.Announce([]byte("of b")))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b.await("nothing", func([]string) bool { return true }) != nil {
		t.Error("messages crossed prefixes")
	}
}

// Forged messages of whoever can publish: strict, and no subject is used that
// a message names, unless it is that of a reply.
func TestForgedMessages(t *testing.T) {
	url := natstest.New(t, 1).URLs()
	a, b := join(t, url), join(t, url)
	b.ok(b.WantUser(alice, true))
	b.ok(b.WantGroup(1, true))
	b.reaches(a)
	seen := make(chan *nats.Msg, 100)
	forger := outsider(t, url)
	if _, err := forger.ChanSubscribe("countersign.push.v1.user.*", seen); err != nil {
		t.Fatal(err)
	}
	forger.Flush()
	if n, err := a.Send(context.Background(), alice, []byte("real")); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	real := <-seen
	victim := make(chan *nats.Msg, 100)
	if _, err := forger.ChanSubscribe("victim.>", victim); err != nil {
		t.Fatal(err)
	}
	b.awaitLast(`sent "alice@EXAMPLE.ORG" false real`)
	b.forget()
	bob := bytes.Replace(bytes.Clone(real.Data), []byte("alice"), []byte("mallo"), 1)
	for _, forged := range []*nats.Msg{
		{Subject: real.Subject, Reply: "victim.reply", Data: real.Data},
		{Subject: real.Subject, Reply: real.Reply + ".x", Data: real.Data},
		{Subject: real.Subject, Reply: strings.ToUpper(real.Reply), Data: real.Data},
		{Subject: real.Subject, Data: real.Data},
		{Subject: real.Subject, Reply: real.Reply, Data: bob}, // another's name
		{Subject: real.Subject, Reply: real.Reply, Data: real.Data[:12]},
		{Subject: real.Subject, Reply: real.Reply},
		{Subject: "countersign.push.v1.all", Reply: real.Reply, Data: real.Data},
		{Subject: "countersign.push.v1.group.1", Data: []byte("\x01short")},
		{Subject: "countersign.push.v1.group.1", Data: []byte("\x7f12345678 of a later version")},
		{Subject: "countersign.push.v1.group.1", Data: []byte("\x0312345678\x00\x00\x00\x01")},
		{Subject: real.Reply, Data: []byte("\x0112345678")}, // to a, as an answer
		{Subject: real.Reply, Data: []byte("\x0312345678\xff\xff\xff\xff")},
		{Subject: real.Reply, Data: []byte("\x0312345678\x00\x00\x00\x01")}, // late
		{Subject: real.Reply, Header: nats.Header{"Status": {"503"}}},
	} {
		if err := forger.PublishMsg(forged); err != nil {
			t.Fatal(err)
		}
	}
	forger.Publish("countersign.push.v1.all", []byte("\x0112345678end"))
	if got := b.awaitLast("announced end"); len(got) != 1 {
		t.Errorf("forged messages came through: %q", got)
	}
	forger.Publish("victim.end", nil)
	if m := <-victim; m.Subject != "victim.end" {
		t.Errorf("made to publish to %s", m.Subject)
	}
}
