package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/echo"
	"github.com/countersign-go/countersign/server/tlspolicy"
	"github.com/countersign-go/countersign/testdata/pki"
)

// shaking is a connection whose handshake is the peer's word "shake".
type shaking struct{ net.Conn }

var errShake = errors.New("the peer does not shake hands")

func (c shaking) HandshakeContext(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		return errors.New("a handshake without a time limit")
	}
	word := make([]byte, 5)
	if _, err := io.ReadFull(c, word); err != nil {
		return err
	}
	if string(word) != "shake" {
		return errShake
	}
	return nil
}

func (c shaking) LogFields() map[string]any { return map[string]any{"transport": "shaking"} }

// shakingListener accepts such connections.
type shakingListener struct{ *pipeListener }

func (l shakingListener) Accept() (net.Conn, error) {
	conn, err := l.pipeListener.Accept()
	if err != nil {
		return nil, err
	}
	return shaking{conn}, nil
}

// A transport's handshake is done before the service, holds up no other
// connection, counts against the handshake's time limit, and does not keep a
// server from stopping.
func TestTransportHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, records := newLog()
		srv := newServer(t, server.Config{HandshakeTimeout: 10 * time.Second, Grace: time.Hour, Log: log})
		l := shakingListener{newPipeListener()}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- srv.Run(ctx, &server.Listener{Listener: l, Service: lines{}}) }()

		silent := l.dial()
		good := l.dial()
		io.WriteString(good, "shake")
		mustSay(t, good, "hello")
		mustSay(t, good, "one")
		rude := l.dial()
		io.WriteString(rude, "spits")
		if _, err := rude.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the rude peer got %v", err)
		}
		began := time.Now()
		if _, err := silent.Read(make([]byte, 1)); err != io.EOF || time.Since(began) != 10*time.Second {
			t.Errorf("the silent peer got %v after %v", err, time.Since(began))
		}
		slow := l.dial()
		io.WriteString(slow, "sha")
		time.Sleep(9 * time.Second)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 19*time.Second {
			t.Errorf("stopped after %v", took)
		}
		failed := records.all(t, "session failed")
		if len(failed) != 2 || failed[0]["error"] != errShake.Error() || failed[0]["transport"] != "shaking" ||
			!strings.Contains(failed[1]["error"].(string), "handshake not finished within 10s") {
			t.Errorf("records %v", failed)
		}
		if n := len(records.all(t, "session closed by shutdown")); n != 2 {
			t.Errorf("%d sessions closed by shutdown", n)
		}
	})
}

// curious is a connection that wants to know how its session ended, and whose
// log field is long.
type curious struct {
	net.Conn
	ended chan error
}

func (c curious) CloseWithError(err error) error {
	c.ended <- err
	return c.Close()
}

func (c curious) HandshakeContext(context.Context) error { return nil }
func (c curious) LogFields() map[string]any {
	return map[string]any{"identity": strings.Repeat("i", 2000)}
}

// A transport is told once how each session ended, and what it has for the log
// is cut as all else that a peer can choose.
func TestTransportIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, records := newLog()
		l := newPipeListener()
		srv := newServer(t, server.Config{Log: log})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- srv.Run(ctx, &server.Listener{Listener: l, Service: lines{}}) }()
		dial := func() (net.Conn, chan error) {
			ours, theirs := net.Pipe()
			ended := make(chan error, 2)
			l.conns <- accepted{conn: curious{theirs, ended}}
			mustSay(t, ours, "hello")
			return ours, ended
		}
		for word, want := range map[string]error{"bye": nil, "fail": errLines} {
			conn, ended := dial()
			mustSay(t, conn, word)
			if err := <-ended; err != want {
				t.Errorf("%s: told of %v, want %v", word, err, want)
			}
		}
		_, ended := dial()
		synctest.Wait()
		stop()
		if err := <-ended; err != server.ErrShutdown {
			t.Errorf("told of %v, want %v", err, server.ErrShutdown)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(ended) != 0 {
			t.Error("told twice")
		}
		recs := records.all(t, "session failed")
		if len(recs) != 1 || !strings.HasSuffix(recs[0]["identity"].(string), "i... (2000 bytes)") {
			t.Errorf("records %v", recs)
		}
	})
}

// updating answers what it reads, as TLS does a key update.
type updating struct{ net.Conn }

func (c updating) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil {
		_, err = io.WriteString(c.Conn, "updated\n")
	}
	return n, err
}

// A transport can write while a message is waited for, however long ago the last
// one was.
func TestWritesWhileAwaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, server.Config{Service: lines{}, HandshakeTimeout: time.Second, MessageTimeout: time.Second, IdleTimeout: time.Minute})
		ours, theirs := net.Pipe()
		result := make(chan error, 1)
		go func() { result <- srv.ServeConn(t.Context(), updating{theirs}) }()
		for _, line := range []string{"hello", "one", "bye"} {
			want := "updated\n"
			if line != "hello" {
				want += line + "\n"
			}
			if _, err := io.WriteString(ours, line+"\n"); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(ours, got); err != nil || string(got) != want {
				t.Fatalf("%s: heard %q, %v", line, got, err)
			}
			time.Sleep(30 * time.Second)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

// Each listener has its own service; connections that come without a listener's
// have the config's, or none.
func TestServicePerListener(t *testing.T) {
	for _, tt := range []struct {
		name   string
		own    server.Service
		config server.Service
		serves bool
	}{
		{"its own", echo.New(echo.Config{}), nil, true},
		{"the config's", nil, echo.New(echo.Config{}), true},
		{"none", nil, nil, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := newServer(t, server.Config{Service: tt.config})
			plain, byPointer, byValue := newPipeListener(), newPipeListener(), newPipeListener()
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- srv.Run(ctx, plain, &server.Listener{Listener: byPointer, Service: tt.own}, server.Listener{Listener: byValue, Service: tt.own})
			}()
			for l, serves := range map[*pipeListener]bool{plain: tt.config != nil, byPointer: tt.serves, byValue: tt.serves} {
				conn := l.dial()
				if serves {
					mustSay(t, conn, "echo")
				} else if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%s: without a service: %v", tt.name, err)
				}
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// When the server stops, an idle TLS client is told so: a stream that just ends
// could have been cut by anybody.
func TestDrainTLS(t *testing.T) {
	certs, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	policy, err := tlspolicy.New(tlspolicy.Config{CertFile: certs.Path("server.crt"), KeyFile: certs.Path("server.key")})
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(t, server.Config{Grace: 20 * time.Second})
	l := listenTCP(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- srv.Run(ctx, &server.Listener{Listener: policy.Listen(l), Service: echo.New(echo.Config{})})
	}()
	pool := x509.NewCertPool()
	pool.AddCert(certs.Certificate("ca"))
	conn := tls.Client(dialTCP(t, l), &tls.Config{RootCAs: pool, ServerName: "localhost"})
	mustSay(t, conn, "echo")
	stop()
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the idle client got %v, want a proper end", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
