//go:build unix

package krb5_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/token"
)

// asWorker makes the test binary the process that a context was exported to.
const asWorker = "KRB5_TEST_WORKER"

// A worker process that gets a connection's descriptor and an exported context
// finishes the session that this process began: with MIT's client and with
// ours, sequence numbers going on, and the same for a context that SPNEGO chose.
func TestExportToProcess(t *testing.T) {
	if os.Getenv(asWorker) != "" {
		work(t)
		return
	}
	for _, negotiate := range []bool{false, true} {
		t.Run(fmt.Sprintf("ours/spnego=%t", negotiate), func(t *testing.T) {
			s := newSetup(t)
			var i gss.Initiator = s.initiator(t)
			var a gss.Acceptor = s.acceptor(t)
			if negotiate {
				i, a = negotiated(t, gss.MechSPNEGO, i), negotiating(t, gss.MechSPNEGO, a)
			}
			handOver(t, a, func(address string) { sign(t, i, address, 3) })
		})
		t.Run(fmt.Sprintf("MIT/spnego=%t", negotiate), func(t *testing.T) {
			mitrealm.Need(t, "gss-client")
			realm := mitrealm.New(t, mitrealm.Config{})
			realm.Kinit("alice")
			s := &setup{}
			var err error
			s.profile, err = krb5.ReadProfile(realm.ConfigFile)
			must(t, err)
			s.keytab, err = krb5.OpenKeytab(realm.KeytabFile)
			must(t, err)
			var a gss.Acceptor = s.acceptor(t)
			mech := "-krb5"
			if negotiate {
				a, mech = negotiating(t, gss.MechSPNEGO, a), "-spnego"
			}
			handOver(t, a, func(address string) {
				_, port, err := net.SplitHostPort(address)
				must(t, err)
				out, err := realm.Command("gss-client", "-port", port, mech, "-seq", "-mcount", "3", "127.0.0.1", service, "hello").CombinedOutput()
				if err != nil || strings.Count(string(out), "Signature verified.") != 3 {
					t.Errorf("MIT's client: %v\n%s", err, out)
				}
			})
		})
	}
}

// handOver accepts the client's context, answers its first message and leaves
// the rest to a worker.
func handOver(t *testing.T, a gss.Acceptor, client func(address string)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	must(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute))) // a client that fails never comes
	done := make(chan struct{})
	go func() {
		defer close(done)
		client(l.Addr().String())
	}()
	conn, err := l.Accept()
	must(t, err)
	frames := token.NewConn(conn)
	sec, err := gss.Accept(t.Context(), frames, a, nil)
	must(t, err)
	if _, err := answer(frames, sec); err != nil {
		t.Fatal(err)
	}
	exported, err := sec.Export()
	must(t, err)
	descriptor, err := conn.(*net.TCPConn).File()
	must(t, err)
	must(t, conn.Close())

	self, err := os.Executable()
	must(t, err)
	worker := exec.CommandContext(t.Context(), self, "-test.run=^TestExportToProcess$", "-test.v")
	worker.Env = append(os.Environ(), asWorker+"=1")
	worker.Stdin = bytes.NewReader(exported)
	worker.ExtraFiles = []*os.File{descriptor}
	out, err := worker.CombinedOutput()
	must(t, descriptor.Close())
	if err != nil || !bytes.Contains(out, []byte("2 messages of alice@")) {
		t.Errorf("the worker: %v\n%s", err, out)
	}
	<-done
}

// work is the worker: the context comes in on standard input, the connection as
// descriptor 3.
func work(t *testing.T) {
	exported, err := io.ReadAll(os.Stdin)
	must(t, err)
	sec, err := krb5.ImportContext(exported, krb5.ImportConfig{})
	must(t, err)
	defer sec.Delete()
	conn, err := net.FileConn(os.NewFile(3, "connection"))
	must(t, err)
	defer conn.Close()
	frames := token.NewConn(conn)
	messages := 0
	for {
		more, err := answer(frames, sec)
		must(t, err)
		if !more {
			break
		}
		messages++
	}
	t.Logf("%d messages of %s", messages, sec.Inquire().Initiator)
}

// answer answers a message by its MIC; false is the session's end.
func answer(frames *token.Conn, sec gss.Context) (more bool, err error) {
	frame, err := frames.ReadFrame()
	if err != nil || frame.Flags == token.NOOP {
		return false, err
	}
	msg, _, err := sec.Unwrap(nil, frame.Data)
	if err != nil {
		return false, err
	}
	mic, err := sec.MIC(nil, msg)
	if err != nil {
		return false, err
	}
	return true, frames.WriteFrame(token.MIC, mic)
}

// sign is a client that has messages signed in order.
func sign(t *testing.T, i gss.Initiator, address string, messages int) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	frames := token.NewConn(conn)
	err = func() error {
		sec, err := gss.Initiate(t.Context(), frames, i, gss.Request{Target: gss.HostService(service), Flags: gss.DefaultFlags | gss.Sequencing})
		if err != nil {
			return err
		}
		for n := range messages {
			msg := fmt.Appendf(nil, "message %d", n)
			sealed, err := sec.Wrap(nil, msg, true)
			if err != nil {
				return err
			}
			if err := frames.WriteFrame(token.Data|token.Wrapped|token.Encrypted|token.SendMIC, sealed); err != nil {
				return err
			}
			mic, err := frames.ReadFrame()
			if err != nil {
				return err
			}
			if err := sec.VerifyMIC(msg, mic.Data); err != nil {
				return err
			}
		}
		return frames.WriteFrame(token.NOOP, nil)
	}()
	if err != nil {
		t.Error("our client:", err)
	}
}
