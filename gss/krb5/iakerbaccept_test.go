package krb5

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss/krb5/internal/kmsg"
)

// Of the requests to the KDCs of one realm so many are under way and no more: one
// too many waits, and is told of no answer. Those to another realm do not wait for
// them.
func TestRelaysAreBounded(t *testing.T) {
	sock, err := net.ListenPacket("udp", "127.0.0.1:0")
	ok(t, err)
	file := filepath.Join(t.TempDir(), "krb5.conf")
	conf := fmt.Sprintf("[libdefaults]\ndefault_realm = A.TEST\n[realms]\nA.TEST = {\nkdc = %[1]s\n}\nB.TEST = {\nkdc = %[1]s\n}\n", sock.LocalAddr())
	ok(t, os.WriteFile(file, []byte(conf), 0o600))
	cfg := IAKERBAcceptorConfig{}
	cfg.Credential = newFixture(t, 18).acceptor.cred
	cfg.Credential.profile, err = ReadProfile(file)
	ok(t, err)
	cfg.ReplayCache = openNone(t, cfg.Credential.profile)
	a, err := NewIAKERBAcceptor(cfg)
	ok(t, err)
	h := &iakerbAcceptHandshake{acceptor: a}

	refusal, err := h.kdcError("KDC.TEST", kmsg.ErrGeneric)
	ok(t, err)
	seen := make(map[string]bool) // the KDC's, until it has ended
	ended := make(chan struct{})
	go func() { // the KDC
		defer close(ended)
		buf := make([]byte, 1<<10)
		for {
			n, from, err := sock.ReadFrom(buf)
			if err != nil {
				return
			}
			seen[string(buf[:n])] = true
			_, _ = sock.WriteTo(refusal, from)
		}
	}()
	ask := func(realm, request string, timeout time.Duration, want kmsg.ErrorCode) {
		t.Helper()
		a.timeout = timeout
		answer, err := h.askKDC(proxyToken{realm: realm, message: []byte(request)})
		ok(t, err)
		if e, err := kmsg.ParseKRBError(answer); err != nil || e.ErrorCode != want {
			t.Errorf("%s: %v, %v; want %v", realm, e, err, want)
		}
	}
	for range maxRelaying {
		a.relaying["A.TEST"] <- struct{}{}
	}
	const surplus, other, next = "\x6a\x01s", "\x6a\x01o", "\x6a\x01n"
	ask("A.TEST", surplus, time.Millisecond, kmsg.APErrIAKERBKDCNoResponse)
	ask("B.TEST", other, time.Minute, kmsg.ErrGeneric)
	<-a.relaying["A.TEST"]
	for range 2 { // a request gives its place back
		ask("A.TEST", next, time.Minute, kmsg.ErrGeneric)
	}
	ok(t, sock.Close())
	<-ended
	if seen[surplus] || !seen[other] || !seen[next] {
		t.Errorf("the KDC was asked %v", seen)
	}
}
