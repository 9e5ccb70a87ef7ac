package client_test

import (
	"context"
	"fmt"
	"log"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
)

// A program has messages signed by a service as the owner of the default
// credential cache.
func Example() {
	initiator, err := krb5.NewInitiator(krb5.InitiatorConfig{})
	if err != nil {
		log.Fatal(err)
	}
	session, err := client.Dial(context.Background(), client.Config{
		Addr:      "server.example.org:4444",
		Initiator: initiator,
		Target:    gss.HostService("host@server.example.org"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	mic, err := session.Sign([]byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s signed it: %x\n", session.Info().Peer(), mic)
}
