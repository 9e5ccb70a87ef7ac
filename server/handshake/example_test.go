package handshake_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/countersign-go/countersign/server/handshake"
	"github.com/countersign-go/countersign/server/tlspolicy"
	"github.com/countersign-go/countersign/testdata/pki"
)

// A program with a protocol of its own accepts connections itself, and gives
// each its settings and a value that comes back with the completion.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	certs, err := pki.New(dir)
	if err != nil {
		log.Fatal(err)
	}
	policy, err := tlspolicy.New(tlspolicy.Config{
		CertFile: certs.Path("server.crt"), KeyFile: certs.Path("server.key"), ClientCAFile: certs.Path("ca.crt"),
		ClientCert: tlspolicy.Require,
	})
	if err != nil {
		log.Fatal(err)
	}

	pool, err := handshake.New(handshake.Config{
		Workers: 4,
		Complete: func(c handshake.Completion) {
			if c.Err != nil {
				fmt.Printf("%v: %v failed: %v\n", c.Value, c.Operation, c.Err)
				return
			}
			conn := c.Conn.(*tlspolicy.Conn)
			defer conn.Close()
			fmt.Printf("%v: %v done, certificate: %v\n", c.Value, c.Operation, conn.Verdict().State)
			fmt.Fprintf(conn, "hello\n")
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go func() {
		accepted, err := listener.Accept()
		if err != nil {
			return
		}
		anybody := tlspolicy.Report // this port lets anybody in, and tells who it was
		conn, err := policy.Server(accepted, tlspolicy.Settings{ClientCert: &anybody})
		if err != nil {
			log.Fatal(err)
		}
		if err := pool.Accept(conn, "connection 1"); err != nil {
			conn.Close()
		}
	}()

	roots := x509.NewCertPool()
	roots.AddCert(certs.Certificate("ca"))
	client, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: roots})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	line, err := bufio.NewReader(client).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(line)
	// Output:
	// connection 1: accept done, certificate: none
	// hello
}
