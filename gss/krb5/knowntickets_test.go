package krb5

import (
	"fmt"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5/internal/ccache"
)

func TestKnownTickets(t *testing.T) {
	var (
		k           knownTickets
		first, next ccache.Cache
		now         = time.Now()
		a, b        = gss.HostService("a@localhost"), gss.HostService("b@localhost")
		forA, forB  = &ccache.Credential{}, &ccache.Credential{}
	)
	if k.find(&first, a, now) != nil {
		t.Error("something is known from the start")
	}
	k.add(&first, a, knownTicket{forA, now.Add(time.Hour)})
	k.add(&first, b, knownTicket{forB, now.Add(time.Minute)})
	if k.find(&first, a, now) != forA || k.find(&first, b, now) != forB {
		t.Error("of two targets not both are remembered")
	}
	if k.find(&first, b, now.Add(time.Minute)) != nil {
		t.Error("a ticket is known beyond its time")
	}
	if k.find(&next, a, now) != nil {
		t.Error("a ticket of another content is known")
	}
	k.add(&next, b, knownTicket{forB, now.Add(time.Hour)})
	if k.find(&next, a, now) != nil || k.find(&next, b, now) != forB {
		t.Error("new content did not take the old one's place")
	}
	for n := range 3 * maxKnownTickets {
		target := gss.HostService(fmt.Sprintf("s%d@localhost", n))
		k.add(&next, target, knownTicket{forA, now.Add(time.Hour)})
		if k.find(&next, target, now) != forA {
			t.Fatalf("target %d was not remembered", n)
		}
	}
	if len(k.tickets) != maxKnownTickets {
		t.Errorf("%d tickets are remembered", len(k.tickets))
	}
	k.forget()
	if k.find(&next, b, now) != nil || len(k.tickets) != 0 {
		t.Error("a released credential remembers")
	}
}
