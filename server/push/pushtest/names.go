package pushtest

import (
	"strings"
	"testing"

	"github.com/countersign-go/countersign/token/pushwire"
)

// hostileNames are principals that could mean something else to who carries them.
var hostileNames = []string{
	"a.b.c@R", "a b@R", "*@R", ">@R", "a.*@R", "a.>@R", "\\0@R", "\x00@R", "\r\nPUB x 0\r\n@R", "\\@@R", "$SYS.x@R", "_INBOX.x@R",
	"é\xff@R", strings.Repeat("x", 1000) + "@R", strings.Repeat(".", pushwire.MaxName-2) + "@R", "user:name@R", "local\\@name@R",
}

// A message gets to the user it is for, and to no other, whatever the name has in it.
func testNames(t *testing.T, j *three) {
	alice := Dial(t, j.a, "alice@R", pushwire.Hello{})
	clients := make(map[string]*Client)
	for _, name := range hostileNames {
		clients[name] = Dial(t, j.b, name, pushwire.Hello{})
	}
	for name, c := range clients {
		reachable(t, j.a, name, c)
	}
	for name, c := range clients {
		if r := alice.Send(name, name); r.Status != pushwire.Done || r.Receivers != 1 {
			t.Errorf("%.50q: %+v", name, r)
		}
		if d := Find[pushwire.Direct](c); string(d.Data) != name {
			t.Errorf("%.50q got what was for %.50q", name, d.Data)
		}
	}
	for name, c := range clients {
		c.Sync()
		if rest := c.Rest(); len(rest) > 0 {
			t.Errorf("%.50q got %.500v, too", name, rest)
		}
	}
}
