package gss_test

import (
	"io"
	"testing"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/spnego"
)

// A Stream works over SPNEGO as over the mechanism that is chosen: bytes both
// ways, half-close, and a connection that is cut shows.
func TestStreamNegotiated(t *testing.T) {
	for _, enctype := range []int32{18, 20} {
		realm := newKrb5Realm(t, enctype)
		initiator, err := spnego.NewInitiator(realm.initiator)
		if err != nil {
			t.Fatal(err)
		}
		acceptor, err := spnego.NewAcceptor(realm.acceptor)
		if err != nil {
			t.Fatal(err)
		}
		client, server := loopback(t)
		c := gss.Client(client, gss.ClientConfig{Mechanism: initiator, Target: gss.HostService("host@localhost")})
		s := gss.Server(server, gss.ServerConfig{Mechanism: acceptor})
		handshake(t, c, s)
		for _, end := range []*gss.Stream{c, s} {
			if info := end.ConnectionState(); info.Mechanism != gss.MechKrb5 || info.Initiator.String() == "" {
				t.Errorf("%v of %s", info.Mechanism, info.Initiator)
			}
		}
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(c, "to the server")
			if err == nil {
				err = c.CloseWrite()
			}
			sent <- err
		}()
		if got, err := io.ReadAll(s); string(got) != "to the server" || err != nil {
			t.Errorf("the server read %q, %v", got, err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if _, err := io.WriteString(s, "to the client"); err != nil {
			t.Error(err)
		}
		_ = server.Close() // cut: the stream's end was not said
		if got, err := io.ReadAll(c); string(got) != "to the client" || err != io.ErrUnexpectedEOF {
			t.Errorf("the client read %q, %v", got, err)
		}
	}
}
