package krb5_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/token"
)

// A service acts for the user who delegated a credential to it: it initiates
// onwards, and leaves the credential to a program that looks in KRB5CCNAME.
func ExampleCredential_Store() {
	realm := newExampleRealm()
	defer realm.end()
	user, service := realm.initiator("alice"), realm.acceptor("host/localhost")
	backend := realm.acceptor("imap/localhost")

	_, accepted := establish(user, service, gss.Request{
		Target: gss.HostService("host@localhost"),
		Flags:  gss.DefaultFlags | gss.Delegation,
	})
	cred, ok := accepted.Inquire().Delegated.(*krb5.Credential)
	if !ok {
		log.Fatal("the user did not delegate")
	}
	defer cred.Release()

	onwards, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	check(err)
	_, sec := establish(onwards, backend, gss.Request{Target: gss.HostService("imap@localhost")})
	fmt.Println("the backend sees", sec.Inquire().Peer())

	cache, err := krb5.OpenCache("FILE:" + filepath.Join(realm.dir, "delegated"))
	check(err)
	check(cred.Store(cache))
	stored, err := krb5.AcquireCredential(context.Background(), krb5.CredentialConfig{
		Usage: gss.InitiateOnly, Cache: cache, Profile: realm.profile,
	})
	check(err)
	fmt.Println("the cache is of", stored.Name())

	// Output:
	// the backend sees alice@EXAMPLE.ORG
	// the cache is of alice@EXAMPLE.ORG
}

// A server establishes a context and leaves the rest to a worker, which gets the
// connection's descriptor and the exported context. Here the worker is a
// function; in another process the descriptor comes in exec.Cmd.ExtraFiles and
// the token by a pipe that nobody else can read, since it holds keys.
//
// The server hands over when it is the worker's turn to read, with nothing of
// the peer's read ahead.
func ExampleImportContext() {
	realm := newExampleRealm()
	defer realm.end()
	user, service := realm.initiator("alice"), realm.acceptor("host/localhost")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := net.Dial("tcp", l.Addr().String())
		check(err)
		defer conn.Close()
		frames := token.NewConn(conn)
		sec, err := gss.Initiate(context.Background(), frames, user, gss.Request{Target: gss.HostService("host@localhost")})
		check(err)
		frame, err := frames.ReadFrame()
		check(err)
		greeting, _, err := sec.Unwrap(nil, frame.Data)
		check(err)
		fmt.Printf("the user got %q\n", greeting)
	}()

	// The server.
	conn, err := l.Accept()
	check(err)
	sec, err := gss.Accept(context.Background(), token.NewConn(conn), service, nil)
	check(err)
	exported, err := sec.Export()
	check(err)
	descriptor, err := conn.(*net.TCPConn).File()
	check(err)
	check(conn.Close())

	// The worker.
	worker(descriptor, exported)
	<-done

	// Output:
	// the user got "hello alice@EXAMPLE.ORG"
}

func worker(descriptor *os.File, exported []byte) {
	conn, err := net.FileConn(descriptor)
	check(err)
	check(descriptor.Close())
	defer conn.Close()
	sec, err := krb5.ImportContext(exported, krb5.ImportConfig{})
	check(err)
	defer sec.Delete()
	sealed, err := sec.Wrap(nil, []byte("hello "+sec.Inquire().Peer().String()), true)
	check(err)
	check(token.NewConn(conn).WriteFrame(token.Data|token.Wrapped|token.Encrypted, sealed))
	_, _ = io.Copy(io.Discard, conn) // until the user has closed
}

// establish carries tokens between two contexts of one process.
func establish(user gss.Initiator, service gss.Acceptor, req gss.Request) (initiator, acceptor gss.Context) {
	initiator, err := user.Initiate(context.Background(), req)
	check(err)
	acceptor, err = service.Accept(nil)
	check(err)
	tok, err := initiator.Step(nil)
	check(err)
	tok, err = acceptor.Step(tok)
	check(err)
	_, err = initiator.Step(tok)
	check(err)
	return initiator, acceptor
}

// An exampleRealm stands in for an organisation's realm, the user's ticket after
// kinit and the services' keytabs.
type exampleRealm struct {
	*gsstest.Realm
	profile *krb5.Profile
	dir     string
}

func newExampleRealm() *exampleRealm {
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "EXAMPLE.ORG"})
	check(err)
	check(realm.AddUser("alice", "secret"))
	check(realm.AddService("host/localhost"))
	check(realm.AddService("imap/localhost"))
	dir, err := os.MkdirTemp("", "krb5")
	check(err)
	conf := filepath.Join(dir, "krb5.conf")
	check(os.WriteFile(conf, realm.Krb5Conf(), 0o600))
	profile, err := krb5.ReadProfile(conf)
	check(err)
	return &exampleRealm{realm, profile, dir}
}

func (r *exampleRealm) end() {
	r.Close()
	check(os.RemoveAll(r.dir))
}

func (r *exampleRealm) initiator(user string) *krb5.Initiator {
	cred, err := krb5.AcquireCredential(context.Background(), krb5.CredentialConfig{
		Usage: gss.InitiateOnly, Name: gss.UserName(user), Password: "secret", Profile: r.profile,
	})
	check(err)
	i, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	check(err)
	return i
}

func (r *exampleRealm) acceptor(service string) *krb5.Acceptor {
	keys, err := r.Keytab(service)
	check(err)
	keytab, err := krb5.ParseKeytab(keys)
	check(err)
	cred, err := krb5.AcquireCredential(context.Background(), krb5.CredentialConfig{Usage: gss.AcceptOnly, Keytab: keytab, Profile: r.profile})
	check(err)
	a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred, ReplayCache: krb5.NewMemoryReplayCache(r.profile)})
	check(err)
	return a
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
