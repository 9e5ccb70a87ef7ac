package gsstest_test

import (
	"fmt"
	"log"

	"github.com/countersign-go/countersign/gss/gsstest"
)

// A test needs a realm, a user, a service and the three files that Kerberos
// programs look for.
func Example() {
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.ORG"})
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	if err := realm.AddUser("alice", "secret"); err != nil {
		log.Fatal(err)
	}
	if err := realm.AddService("host/localhost"); err != nil {
		log.Fatal(err)
	}
	keytab, err := realm.Keytab("host/localhost")
	if err != nil {
		log.Fatal(err)
	}
	cache, err := realm.CCache("alice")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(realm.Krb5Conf()) > 0, len(keytab) > 0, len(cache) > 0)
	// Output: true true true
}

// A ticket for a hostile test: right in every way, but for another realm's user.
func ExampleRealm_MintTicket() {
	realm, err := gsstest.NewRealm(gsstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	if err := realm.AddService("host/localhost"); err != nil {
		log.Fatal(err)
	}
	ticket, err := realm.MintTicket(gsstest.TicketOptions{Client: "alice@EVIL", Service: "host/localhost"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ticket.Client, ticket.Service, ticket.SessionKey)
	// Output: alice@EVIL host/localhost@GSSTEST.EXAMPLE key(enctype 18, 32 bytes)
}
