package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/gsstest"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/sign"
	"github.com/countersign-go/countersign/token"
)

// What the benchmarks compare on one machine in one run: a whole exchange of the
// sign service (the client's wrapping and verifying included) with a bare Go
// program that reads as many bytes and writes 33.

const micFrame = 5 + 28 // of aes256-cts-hmac-sha1-96

// A benchSite is the sign service in an embedded realm, with neither log nor
// output.
func newBenchSite(b testing.TB) (address string, alice *krb5.Initiator) {
	b.Helper()
	return newLoggingSite(b, nil)
}

// newLoggingSite is a benchSite with a log.
func newLoggingSite(b testing.TB, log *logrus.Logger) (address string, alice *krb5.Initiator) {
	b.Helper()
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Setenv("KRB5RCACHEDIR", b.TempDir())
	realm, err := gsstest.NewRealm(gsstest.Config{Name: "R.TEST"})
	check(err)
	b.Cleanup(func() { realm.Close() })
	check(realm.AddUser("alice", "secret"))
	check(realm.AddService("host/localhost"))
	conf := filepath.Join(b.TempDir(), "krb5.conf")
	check(os.WriteFile(conf, realm.Krb5Conf(), 0o600))
	profile, err := krb5.ReadProfile(conf)
	check(err)
	keys, err := realm.Keytab("host/localhost")
	check(err)
	keytab, err := krb5.ParseKeytab(keys)
	check(err)
	cred, err := krb5.AcquireCredential(b.Context(), krb5.CredentialConfig{
		Usage: gss.AcceptOnly, Name: gss.HostService("host@localhost"), Keytab: keytab, Profile: profile,
	})
	check(err)
	acceptor, err := krb5.NewAcceptor(krb5.AcceptorConfig{Credential: cred})
	check(err)
	user, err := krb5.AcquireCredential(b.Context(), krb5.CredentialConfig{
		Usage: gss.InitiateOnly, Name: gss.UserName("alice"), Password: "secret", Profile: profile,
	})
	check(err)
	alice, err = krb5.NewInitiator(krb5.InitiatorConfig{Credential: user})
	check(err)
	svc, err := sign.New(sign.Config{Acceptor: acceptor})
	check(err)
	srv, err := server.New(server.Config{Service: svc, Log: log})
	check(err)
	l := listenTCP(b)
	ctx, stop := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- srv.Run(ctx, l) }()
	b.Cleanup(func() {
		stop()
		if err := <-result; err != nil {
			b.Error(err)
		}
	})
	return l.Addr().String(), alice
}

// A benchClient is one established session.
type benchClient struct {
	conn net.Conn
	tok  *token.Conn
	sec  gss.Context
	msg  []byte
	fill func([]byte) ([]byte, error)
}

func connect(address string, alice *krb5.Initiator, size int) (*benchClient, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	tok, err := token.Config{Version: token.V2}.NewConn(conn)
	if err != nil {
		return nil, err
	}
	if err := tok.WriteFrame(token.NOOP|token.ContextNext, nil); err != nil {
		return nil, err
	}
	sec, err := gss.Initiate(context.Background(), tok, alice, gss.Request{Target: gss.HostService("host@localhost")})
	if err != nil {
		return nil, err
	}
	c := &benchClient{conn: conn, tok: tok, sec: sec, msg: make([]byte, size)}
	c.fill = func(dst []byte) ([]byte, error) { return c.sec.Wrap(dst, c.msg, true) }
	return c, nil
}

func (c *benchClient) exchange() error {
	if err := c.tok.WriteFrameFunc(token.Data|token.Wrapped|token.Encrypted|token.SendMIC, c.fill); err != nil {
		return err
	}
	reply, err := c.tok.ReadFrame()
	if err != nil {
		return err
	}
	return c.sec.VerifyMIC(c.msg, reply.Data)
}

func (c *benchClient) end() error {
	if err := c.tok.WriteFrame(token.NOOP, nil); err != nil {
		return err
	}
	if _, err := c.tok.ReadFrame(); err != io.EOF {
		return fmt.Errorf("after the end: %w", err)
	}
	return c.conn.Close()
}

func BenchmarkExchange(b *testing.B) {
	address, alice := newBenchSite(b)
	for _, size := range []int{64, 1024, 64 << 10} {
		for _, conns := range []int{1, 64} {
			b.Run(fmt.Sprintf("size=%d/conns=%d", size, conns), func(b *testing.B) {
				clients := make([]*benchClient, conns)
				for i := range clients {
					var err error
					if clients[i], err = connect(address, alice, size); err != nil {
						b.Fatal(err)
					}
				}
				b.SetBytes(int64(size))
				spread(b, conns, func(i int) error { return clients[i].exchange() })
				for _, c := range clients {
					if err := c.end(); err != nil {
						b.Error(err)
					}
				}
			})
		}
	}
}

// BenchmarkConnection connects, establishes a context, has a message of 1 KiB
// signed, and closes.
func BenchmarkConnection(b *testing.B) {
	address, alice := newBenchSite(b)
	spread(b, 8, func(int) error {
		c, err := connect(address, alice, 1024)
		if err == nil {
			err = c.exchange()
		}
		if err == nil {
			err = c.end()
		}
		return err
	})
}

// BenchmarkBareExchange is the baseline of BenchmarkExchange.
func BenchmarkBareExchange(b *testing.B) {
	l := bareServer(b)
	for _, size := range []int{64, 1024, 64 << 10} {
		for _, conns := range []int{1, 64} {
			b.Run(fmt.Sprintf("size=%d/conns=%d", size, conns), func(b *testing.B) {
				clients := make([]net.Conn, conns)
				for i := range clients {
					clients[i] = dialTCP(b, l)
				}
				frame := bareFrame(size)
				var replies [64][micFrame]byte
				b.SetBytes(int64(size))
				spread(b, conns, func(i int) error { return bareExchange(clients[i], frame, replies[i][:]) })
				for _, c := range clients {
					_ = c.Close()
				}
			})
		}
	}
}

// BenchmarkBareConnection is the baseline of BenchmarkConnection.
func BenchmarkBareConnection(b *testing.B) {
	l := bareServer(b)
	frame := bareFrame(1024)
	spread(b, 8, func(int) error {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		if err := bareExchange(conn, frame, make([]byte, micFrame)); err != nil {
			return err
		}
		return conn.Close()
	})
}

// bareFrame is as long as the frame of a sealed message.
func bareFrame(size int) []byte {
	frame := make([]byte, 5+size+60)
	binary.BigEndian.PutUint32(frame[1:], uint32(len(frame)-5))
	return frame
}

func bareExchange(conn net.Conn, frame, reply []byte) error {
	if _, err := conn.Write(frame); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, reply)
	return err
}

func bareServer(b *testing.B) net.Listener {
	l := listenTCP(b)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 128<<10)
				for {
					n := 0
					for n < 5 || n < 5+int(binary.BigEndian.Uint32(buf[1:])) {
						m, err := conn.Read(buf[n:])
						if err != nil {
							return
						}
						n += m
					}
					if _, err := conn.Write(buf[:micFrame]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l
}

// spread runs b.N calls of f on n goroutines, each with its number.
func spread(b *testing.B, n int, f func(i int) error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range n {
		calls := b.N / n
		if i < b.N%n {
			calls++
		}
		wg.Go(func() {
			for range calls {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// An exchange allocates nothing on either side once buffers are there, and makes
// no log record; a log that takes none of what is said of sessions costs a whole
// session nothing.
func TestExchangeAllocates(t *testing.T) {
	var records bytes.Buffer
	quiet, all := logrus.New(), logrus.New()
	quiet.SetOutput(&records)
	quiet.SetLevel(logrus.ErrorLevel)
	all.SetOutput(io.Discard)
	all.SetLevel(logrus.TraceLevel)
	sessions := make(map[string]float64)
	for name, log := range map[string]*logrus.Logger{"no log": nil, "a quiet log": quiet, "a log": all} {
		address, alice := newLoggingSite(t, log)
		c, err := connect(address, alice, 1024)
		if err != nil {
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(1000, func() {
			if err := c.exchange(); err != nil {
				t.Error(err)
			}
		})
		if n >= 1 && !raceEnabled {
			t.Errorf("%s: %v allocations an exchange", name, n)
		}
		if err := c.end(); err != nil {
			t.Error(err)
		}
		sessions[name] = testing.AllocsPerRun(100, func() {
			c, err := connect(address, alice, 1024)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(c.exchange(), c.end()); err != nil {
				t.Error(err)
			}
		})
	}
	if records.Len() > 0 {
		t.Errorf("the quiet log has %q", &records)
	}
	const spread = 3 // what pools and the runtime make now and then
	none, quietly, loudly := sessions["no log"], sessions["a quiet log"], sessions["a log"]
	if !raceEnabled && (quietly > none+spread || loudly < none+2*spread) {
		t.Errorf("a session allocates %v times without a log, %v with a quiet one, %v with one that says all", none, quietly, loudly)
	}
}
