package sign_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/token"
)

// Forged AP-REQs over connections: each is told off in the log in words, a
// session beside it is not disturbed, and the next one is served.
func TestForgedAPReqs(t *testing.T) {
	s := newSite(t)
	if err := s.realm.AddService("http/localhost"); err != nil {
		t.Fatal(err)
	}
	bystander := s.establish(t, gss.Mutual|gss.ReplayDetection|gss.Confidentiality|gss.Integrity)
	rc4, err := gsstest.NewKey(23)
	if err != nil {
		t.Fatal(err)
	}
	other, err := gsstest.NewKey(18)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	forge := func(t *testing.T, ticket gsstest.TicketOptions, options gsstest.TokenOptions) *client {
		t.Helper()
		ticket.Client = "alice"
		if ticket.Service == "" {
			ticket.Service = "host/localhost"
		}
		minted, err := s.realm.MintTicket(ticket)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := minted.ContextToken(options)
		if err != nil {
			t.Fatal(err)
		}
		c := s.dial(t)
		c.write(t, slices.Concat(greeting, raw(token.Context, string(tok))))
		return c
	}
	tests := []struct {
		name   string
		ticket gsstest.TicketOptions
		token  gsstest.TokenOptions
		log    string
	}{
		{"another checksum type", gsstest.TicketOptions{}, gsstest.TokenOptions{ChecksumType: 16}, "of type 16"},
		{"authenticator with another name", gsstest.TicketOptions{}, gsstest.TokenOptions{Client: "root@R.TEST"}, `"root@R.TEST"`},
		{"authenticator with another realm", gsstest.TicketOptions{}, gsstest.TokenOptions{Client: "alice@EVIL.TEST"}, `"alice@EVIL.TEST"`},
		{"ticket for another service", gsstest.TicketOptions{Service: "http/localhost"}, gsstest.TokenOptions{}, "http/localhost@R.TEST"},
		{"expired", gsstest.TicketOptions{AuthTime: now.Add(-3 * time.Hour), EndTime: now.Add(-time.Hour)}, gsstest.TokenOptions{}, "Ticket expired"},
		{"not yet valid", gsstest.TicketOptions{AuthTime: now, StartTime: now.Add(time.Hour)}, gsstest.TokenOptions{}, "Ticket not yet valid"},
		{"clock ten minutes ahead", gsstest.TicketOptions{}, gsstest.TokenOptions{ClockOffset: 10 * time.Minute}, "Clock skew too great"},
		{"clock ten minutes behind", gsstest.TicketOptions{}, gsstest.TokenOptions{ClockOffset: -10 * time.Minute}, "Clock skew too great"},
		{"unknown kvno", gsstest.TicketOptions{KVNO: 9}, gsstest.TokenOptions{}, "kvno 9"},
		{"another key", gsstest.TicketOptions{Key: other}, gsstest.TokenOptions{}, "cannot decrypt the ticket"},
		{"RC4 ticket", gsstest.TicketOptions{Key: rc4, SessionKey: other}, gsstest.TokenOptions{}, "arcfour-hmac"},
		{"RC4 session key", gsstest.TicketOptions{SessionKey: rc4}, gsstest.TokenOptions{}, "arcfour-hmac"},
		{"ticket shorter than its MAC", gsstest.TicketOptions{}, gsstest.TokenOptions{TicketLen: 5}, "cannot decrypt the ticket"},
		{"authenticator shorter than its MAC", gsstest.TicketOptions{}, gsstest.TokenOptions{AuthenticatorLen: 5}, "not sealed by the ticket's session key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.refuses(t, forge(t, tt.ticket, tt.token), bystander, tt.log)
		})
	}

	// What is forged is good but for the lie.
	c := forge(t, gsstest.TicketOptions{}, gsstest.TokenOptions{})
	if reply, err := c.tok.ReadFrame(); err != nil || reply.Flags != token.Context {
		t.Errorf("without a lie: %v, %v", reply.Flags, err)
	}
	c.write(t, end)
	if rec := s.log.end(t, c.conn.LocalAddr()); rec["msg"] != "session ended" || !strings.HasPrefix(fmt.Sprint(rec["client"]), "alice@") {
		t.Errorf("without a lie, logged %v", rec)
	}
}
