//go:build unix

package krb5_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest/mitrealm"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/token"
)

// Initiate and Accept over a token.Conn as it comes are all it takes to talk to
// MIT's programs.
func TestCarrierMIT(t *testing.T) {
	mitrealm.Need(t, "gss-client", "gss-server")
	mit := mitrealm.New(t, mitrealm.Config{})
	mit.Kinit("alice")
	for _, v := range mit.Env() { // for our side
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "KRB5") {
			t.Setenv(name, value)
		}
	}

	t.Run("initiate", func(t *testing.T) {
		i, err := krb5.NewInitiator(krb5.InitiatorConfig{})
		must(t, err)
		server := mit.GSSServer("-once", service)
		conn, err := net.Dial("tcp", server.Addr)
		must(t, err)
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		frames := token.NewConn(conn)
		sec, err := gss.Initiate(t.Context(), frames, i, gss.Request{Target: gss.HostService(service)})
		if err != nil {
			t.Fatalf("%v\n%s", err, server.Output())
		}
		defer sec.Delete()
		talk(t, frames, sec)
		must(t, server.Wait())
		if out := server.Output(); !strings.Contains(out, `Accepted connection: "alice@MIT.TEST"`) || !strings.Contains(out, `Received message: "hello"`) {
			t.Errorf("%s", out)
		}
	})
	t.Run("accept", func(t *testing.T) {
		a, err := krb5.NewAcceptor(krb5.AcceptorConfig{Service: service})
		must(t, err)
		defer a.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		must(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute)))
		served := make(chan error, 1)
		go func() {
			served <- func() error {
				conn, err := l.Accept()
				if err != nil {
					return err
				}
				defer conn.Close()
				frames := token.NewConn(conn)
				sec, err := gss.Accept(t.Context(), frames, a, nil)
				if err != nil {
					return err
				}
				defer sec.Delete()
				for more := true; more && err == nil; {
					more, err = answer(frames, sec)
				}
				return err
			}()
		}()
		_, port, err := net.SplitHostPort(l.Addr().String())
		must(t, err)
		out, err := mit.Command("gss-client", "-port", port, "127.0.0.1", service, "hello").CombinedOutput()
		l.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err != nil || !strings.Contains(string(out), "Signature verified.") {
			t.Errorf("MIT's client: %v\n%s", err, out)
		}
	})
}
