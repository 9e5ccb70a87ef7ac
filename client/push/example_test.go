package push_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/server"
	serverpush "github.com/countersign-go/countersign/server/push"
)

// Two users: alice is told what is published to a group and what is sent to
// her; bob does both, in a batch.
func Example() {
	addr, initiator, stop := exampleServer("alice", "bob")
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	through := make(chan bool)
	alice, err := push.Dial(ctx, push.Config{
		Client: client.Config{Addr: addr, Initiator: initiator("alice"), Target: gss.HostService("push@localhost")},
		Groups: []uint32{1},
		Events: push.Events{
			Published: func(p push.Publication) {
				fmt.Printf("%s to group %d: %s\n", p.From, p.Groups[0].Group, p.Data)
			},
			Sent: func(m push.Direct) {
				fmt.Printf("%s to me: %s\n", m.From, m.Data)
				close(through)
			},
			Lost: func(l push.Loss) { log.Printf("missed %d messages", l.Count) },
		},
	})
	must(err)
	defer alice.Close()

	bob, err := push.Dial(ctx, push.Config{
		Client: client.Config{Addr: addr, Initiator: initiator("bob"), Target: gss.HostService("push@localhost")},
	})
	must(err)
	defer bob.Close()
	batch := bob.Batch()
	batch.Publish([]byte("dinner is ready"), 1)
	batch.Send("alice", []byte("yours is vegetarian"))
	batch.Send("carol", []byte("where are you?"))
	batch.Sign([]byte("I owe alice a dinner"))
	batch.Commit()
	outcomes, err := batch.Wait(ctx)
	must(err)
	<-through
	for _, o := range outcomes {
		fmt.Println(o.Receivers, len(o.MIC) > 0, o.Err)
	}
	// Output:
	// bob@EXAMPLE.ORG to group 1: dinner is ready
	// bob@EXAMPLE.ORG to me: yours is vegetarian
	// 1 false <nil>
	// 1 false <nil>
	// 0 false nobody of that name is connected
	// 0 true <nil>
}

// Results can come to functions, in their order, while others are under way.
func ExampleRequest_Then() {
	addr, initiator, stop := exampleServer("alice")
	defer stop()
	alice, err := push.Dial(context.Background(), push.Config{
		Client: client.Config{Addr: addr, Initiator: initiator("alice"), Target: gss.HostService("push@localhost")},
	})
	must(err)
	for i := range 3 {
		alice.Publish(fmt.Appendf(nil, "message %d", i), 1).Then(func(r push.Result, err error) {
			fmt.Println(i, r.Receivers, err)
		})
	}
	alice.Wait(0).Then(func(push.Result, error) { alice.Close() })
	<-alice.Done()
	// Output:
	// 0 0 <nil>
	// 1 0 <nil>
	// 2 0 <nil>
}

// exampleServer stands in for an organisation's realm and push server.
func exampleServer(users ...string) (addr string, initiator func(user string) gss.Initiator, stop func()) {
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.ORG"})
	must(err)
	must(realm.AddService("push/localhost"))
	for _, user := range users {
		must(realm.AddUser(user, "secret"))
	}
	dir, err := os.MkdirTemp("", "push")
	must(err)
	must(os.Setenv("KRB5RCACHEDIR", dir))
	conf := filepath.Join(dir, "krb5.conf")
	must(os.WriteFile(conf, realm.Krb5Conf(), 0o600))
	profile, err := krb5.ReadProfile(conf)
	must(err)
	keys, err := realm.Keytab("push/localhost")
	must(err)
	keytab, err := krb5.ParseKeytab(keys)
	must(err)
	cred, err := krb5.AcquireCredential(context.Background(), krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService("push@localhost"), Keytab: keytab, Profile: profile,
	})
	must(err)
	acceptor, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred})
	must(err)

	service, err := serverpush.New(serverpush.Config{
		Acceptor: acceptor, LocalName: acceptor.LocalName,
		Setup: func(h *serverpush.Hub) error {
			return h.SetGroups([]serverpush.Group{{Number: 1, Name: "R&D Department"}})
		},
	})
	must(err)
	srv, err := server.New(server.Config{Service: service})
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- srv.Run(ctx, l) }()

	initiator = func(user string) gss.Initiator {
		cred, err := krb5.AcquireCredential(ctx, krb5.CredentialConfig{
			Usage: gss.InitiateOnly, Name: gss.UserName(user), Password: "secret", Profile: profile,
		})
		must(err)
		i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
		must(err)
		return i
	}
	return l.Addr().String(), initiator, func() {
		cancel()
		must(<-ended)
		must(service.Close())
		realm.Close()
		must(os.RemoveAll(dir))
		must(os.Unsetenv("KRB5RCACHEDIR"))
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
