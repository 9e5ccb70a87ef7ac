package tlspolicy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

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

// What could not be made of files is tried again without a change of theirs: at
// once when it is asked for, and of itself in a while, but not with every
// handshake. One failure is one report.
func TestFailureIsTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, byReload := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var reports []error
			tries, good := 0, true
			s := &source[string]{
				paths: []string{path},
				parse: func(contents [][]byte) (string, error) {
					if tries++; !good {
						return "", errors.New("not yet")
					}
					return string(contents[0]), nil
				},
				report: func(_ string, err error) { reports = append(reports, err) },
			}
			write("old")
			if err := s.open(); err != nil {
				t.Fatal(err)
			}
			write("newer")
			good = false
			for range 3 {
				if got := s.current(); got != "old" {
					t.Errorf("made %q of what is not good yet", got)
				}
			}
			time.Sleep(retryAfter)
			for range 3 {
				s.current()
			}
			if tries != 3 {
				t.Errorf("%d tries, want the first, one of the change and one in a while", tries)
			}
			good = true
			if got := s.current(); got != "old" {
				t.Errorf("%q: it is tried with every handshake", got)
			}
			if byReload {
				s.reload()
			} else {
				time.Sleep(retryAfter)
			}
			if got := s.current(); got != "newer" {
				t.Errorf("%q, want what is good now", got)
			}
			time.Sleep(2 * retryAfter)
			if s.current(); tries != 4 {
				t.Errorf("%d tries: what is good is tried again", tries)
			}
			if len(reports) != 2 || reports[0] == nil || reports[1] != nil {
				t.Errorf("reports %v, want one of the failure and one of its end", reports)
			}
		})
	}
}
