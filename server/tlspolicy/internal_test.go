package tlspolicy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/countersign-go/countersign/testdata/pki"
)

// Issuers that any number of clients come with are not all remembered.
func TestSignersBounded(t *testing.T) {
	p, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(p.Path("ca.crl"))
	if err != nil {
		t.Fatal(err)
	}
	lists, err := parseCRLs("ca.crl", content)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxSigners {
		if lists[0].signedBy(&x509.Certificate{Raw: []byte(fmt.Sprint(i))}) {
			t.Fatal("signed by nobody")
		}
	}
	if n := len(lists[0].signers); n != maxSigners {
		t.Errorf("%d issuers are remembered", n)
	}
	if !lists[0].signedBy(p.Certificate("ca")) || lists[0].signedBy(p.Certificate("rogue-ca")) {
		t.Error("the list is not its CA's alone")
	}
}

// Whoever is there is given time to read why the handshake failed.
func TestInterrupted(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, true},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, true},
		{&net.OpError{Op: "local error", Err: errors.New("tls: unexpected message")}, false},
		{io.EOF, true},
		{context.Canceled, true},
		{context.DeadlineExceeded, true},
		{&RefusedError{}, false},
		{errors.New("tls: client offered only unsupported versions"), false},
	} {
		if got := interrupted(fmt.Errorf("wrapped: %w", tt.err)); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}
